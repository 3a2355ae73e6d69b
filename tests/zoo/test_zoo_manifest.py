"""Opening a model: what is not there is named with what is, and what is damaged is named."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from interp_assert.errors import ModelBroken, ModelNotFound
from interp_fixtures.zoo import checkpoints, names, open_model
from interp_fixtures.zoo.manifest import MANIFEST, WEIGHTS, entry, shipped, verified_directory, write_manifest


@pytest.fixture
def weights(tmp_path):
    """A small zoo: one model with two checkpoints."""
    for folder in ("m", "m/checkpoints/100", "m/checkpoints/20"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "model.safetensors").write_bytes(folder.encode())
        (tmp_path / folder / "config.json").write_text("{}")
    write_manifest([("m", 300)], tmp_path)
    return tmp_path


def test_a_model_and_its_checkpoints_open(weights):
    assert entry("m", weights).steps == ("20", "100", "300")
    assert verified_directory("m", None, weights) == verified_directory("m", "300", weights) == weights / "m"
    assert verified_directory("m", "100", weights) == weights / "m" / "checkpoints" / "100"


def test_an_unknown_model_is_answered_with_those_that_exist(weights):
    with pytest.raises(ModelNotFound, match=r"no model 'gpt5'; it has m"):
        verified_directory("gpt5", None, weights)


@pytest.mark.parametrize("step", ["7", "../m", "", "0100"])
def test_an_unknown_checkpoint_is_answered_with_those_that_exist(weights, step):
    with pytest.raises(ModelNotFound, match=r"it has 20, 100, 300"):
        verified_directory("m", step, weights)


def test_a_damaged_file_is_named(weights):
    file = weights / "m" / "model.safetensors"
    file.write_bytes(b"M")
    with pytest.raises(ModelBroken, match=r"zoo:m is damaged: .*model\.safetensors"):
        verified_directory("m", None, weights)
    verified_directory("m", "100", weights)  # another checkpoint's damage is its own


def test_a_missing_file_is_named(weights):
    (weights / "m" / "checkpoints" / "20" / "config.json").unlink()
    with pytest.raises(ModelBroken, match=r"config\.json is missing"):
        verified_directory("m", "20", weights)


def test_a_missing_or_unreadable_manifest_is_named(weights):
    (weights / MANIFEST).write_text("{")
    with pytest.raises(ModelBroken, match=MANIFEST):
        shipped(weights)
    (weights / MANIFEST).unlink()
    with pytest.raises(ModelBroken, match=MANIFEST):
        shipped(weights)


def test_what_ships_is_whole():
    assert names()[0] == "gpt_neox", "the default comes first"
    for name in names():
        for step in checkpoints(name):
            assert (open_model(name, step) / "model.safetensors").is_file()


def test_every_file_that_ships_is_in_the_manifest():
    for name, model in shipped().items():
        there = {p.relative_to(WEIGHTS / name).as_posix() for p in (WEIGHTS / name).rglob("*") if p.is_file()}
        assert there == set(model.files)


def test_what_ships_is_small():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*.safetensors")) < 25e6


def test_a_copy_elsewhere_opens_too(tmp_path):
    shutil.copytree(WEIGHTS, tmp_path / "weights")
    assert verified_directory("gpt_neox", None, tmp_path / "weights").is_dir()


def test_opening_imports_nothing_heavy():
    code = (
        "import sys; from interp_fixtures.zoo import open_model; open_model('gpt_neox');"
        "print([m for m in ('torch', 'transformers', 'numpy', 'scipy', 'pytest') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
