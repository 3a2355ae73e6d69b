"""``zoo verify``: silent where the weights do what their card says, one line for each figure where they do not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from interp_assert.cli import main
from interp_fixtures.zoo import manifest
from interp_fixtures.zoo.card import FIGURES, write_card
from interp_fixtures.zoo.corpus import Phase
from interp_fixtures.zoo.recipes import recipe
from interp_fixtures.zoo.training import train
from interp_fixtures.zoo.verify import Check, verify


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A zoo of one model with one checkpoint, trained for four steps."""
    weights = tmp_path_factory.mktemp("weights")
    short = replace(recipe("gpt_neox"), phases=(Phase(4, 16, 4, 0.3, 1.0),), checkpoints=(2,))
    train(short, weights / "gpt_neox", progress=False)
    (weights / "gpt_neox" / "training_log.jsonl").unlink(missing_ok=True)
    write_card(short, weights / "gpt_neox", suites=("lens",))
    manifest.write_manifest([("gpt_neox", 4)], weights)
    return weights


@pytest.fixture
def zoo(trained, monkeypatch):
    monkeypatch.setattr(manifest, "WEIGHTS", trained)
    return trained


def test_a_model_that_does_what_its_card_says_holds(zoo, capsys):
    checks = list(verify("gpt_neox"))
    assert {check.model for check in checks} == {"gpt_neox@2", "gpt_neox"}
    card = json.loads((zoo / "gpt_neox" / FIGURES).read_text())
    assert len(checks) == 2 * len(card["abilities"]) + len(card["lens"]) + len(card["inside"])
    assert {"probes/truth", "coders/variance_explained"} <= {check.ability for check in checks}
    assert all(check.holds and check.found == pytest.approx(check.said) for check in checks)
    assert main(["zoo", "verify"]) == 0
    assert f"{len(checks)} of {len(checks)} figures hold" in capsys.readouterr().out


def test_a_figure_that_left_its_interval_is_named_and_fails(zoo, capsys, monkeypatch):
    path = zoo / "gpt_neox" / FIGURES
    before = path.read_text()
    figures = json.loads(before)
    figures["abilities"][2] |= {"value": 0.97, "lo": 0.94, "hi": 0.99}
    figures["checkpoints"]["2"][0]["n"] += 1
    try:
        path.write_text(json.dumps(figures))
        manifest.write_manifest([("gpt_neox", 4)], zoo)
        assert main(["zoo", "verify", "gpt_neox"]) == 1
    finally:
        path.write_text(before)
        manifest.write_manifest([("gpt_neox", 4)], zoo)
    said = capsys.readouterr().out
    assert f"zoo:gpt_neox: {figures['abilities'][2]['name']} is 0.0" in said
    assert "the card says 0.970, 0.940 to 0.990" in said
    assert "zoo:gpt_neox@2: induction is" in said
    assert "2 figures left the intervals of their cards" in said


def test_a_damaged_file_stops_it(zoo, capsys):
    path = zoo / "gpt_neox" / "checkpoints" / "2" / "model.safetensors"
    before = path.read_bytes()
    try:
        path.write_bytes(before[:-1] + b"?")
        assert main(["zoo", "verify", "gpt_neox"]) == 2
    finally:
        path.write_bytes(before)
    assert "checkpoints/2/model.safetensors has sha256" in capsys.readouterr().err


def test_what_is_not_measured_any_more_is_a_complaint():
    check = Check("gpt2", "juggling", 1.0, 0.9, 1.0, 60, None, 0)
    assert not check.holds
    assert check.complaint == "zoo:gpt2: juggling is on the card but is not measured any more"
