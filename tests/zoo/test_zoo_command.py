"""The command line: list, show and train, and one line for what cannot be done."""

from __future__ import annotations

import json

import pytest

from interp_assert import __version__
from interp_assert.cli import main
from interp_fixtures.zoo import names


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"interp-assert {__version__}\n"


def test_list_names_every_model_and_its_checkpoints(capsys):
    assert main(["zoo", "list"]) == 0
    out = capsys.readouterr().out
    assert all(f"zoo:{name}" in out for name in names())
    assert "100 200 300 400" in out


def test_show_prints_the_card(capsys):
    assert main(["zoo", "show", "gpt_neox"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# zoo:gpt_neox")
    assert "| induction |" in out
    assert "Auxiliary loss" in out


@pytest.mark.parametrize("command", ["show", "train"])
def test_an_unknown_model_is_one_line_and_status_2(command, capsys):
    assert main(["zoo", command, "gpt5"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("interp-assert: the zoo has no ")
    assert said.err.count("\n") == 1
    assert "gpt_neox" in said.err


@pytest.mark.parametrize("steps", ["0", "-3"])
def test_a_nonsense_number_of_steps_is_refused(steps, capsys, tmp_path):
    assert main(["zoo", "train", "gpt_neox", "--steps", steps, "--out", str(tmp_path / "m")]) == 2
    assert f"not {steps}" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_a_file_in_the_way_is_refused(capsys, tmp_path):
    (tmp_path / "m").write_text("")
    assert main(["zoo", "train", "gpt_neox", "--steps", "2", "--out", str(tmp_path / "m")]) == 2
    assert "is a file" in capsys.readouterr().err


def test_a_model_in_the_way_is_not_overwritten(capsys, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert main(["zoo", "train", "gpt_neox", "--steps", "2", "--out", str(tmp_path)]) == 2
    assert "holds a model already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("content", [b"", b"x", b"PK not a zip"])
def test_a_damaged_state_is_named(content, capsys, tmp_path):
    (tmp_path / "training_state.pt").write_bytes(content)
    assert main(["zoo", "train", "gpt_neox", "--steps", "2", "--out", str(tmp_path)]) == 2
    assert "training_state.pt cannot be read as an unfinished training; remove it" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_line(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert main(["zoo", "train", "gpt_neox", "--steps", "2", "--out", str(tmp_path / "file" / "m")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"interp-assert: {tmp_path / 'file' / 'm'}: Not a directory"


def test_train_writes_a_whole_model_with_its_card(capsys, tmp_path):
    assert main(["zoo", "train", "gpt_neox", "--steps", "2", "--out", str(tmp_path / "m")]) == 0
    said = capsys.readouterr()
    assert "induction: 0.0" in said.out
    assert "gpt_neox" in said.err, "the progress bar"
    assert {p.name for p in (tmp_path / "m").iterdir()} == {
        "README.md",
        "abilities.json",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert json.loads((tmp_path / "m" / "abilities.json").read_text())["steps"] == 2


@pytest.mark.parametrize("arguments", [[], ["zoo"], ["zoo", "fly"], ["nonsense"]])
def test_an_incomplete_command_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: interp-assert" in capsys.readouterr().err
