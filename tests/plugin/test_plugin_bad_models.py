"""Models that cannot be opened are usage errors: one line that names the value and the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def broken_directories(path: Path) -> dict[str, str]:
    """Directories that are no models, and what is said about each."""
    config = json.dumps({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]})
    remote = json.dumps({"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "mine.Mine"}})
    contents = {
        "empty": {},
        "weightless": {"config.json": config},
        "pickled": {"config.json": config, "pytorch_model.bin": "pickle"},
        "truncated": {"config.json": config, "model.safetensors": "\x10"},
        "remote": {"config.json": remote, "model.safetensors": "\x10"},
    }
    for name, files in contents.items():
        (path / name).mkdir()
        for file, text in files.items():
            (path / name / file).write_text(text)
    return {
        "./absent": "*no directory ./absent*",
        "./empty": "*config.json*",
        "./weightless": "*no weights*",
        "./pickled": "*pickle*safetensors*",
        "./truncated": "*model.safetensors*",
        "./remote": "*--interp-trust-remote-code*",
        "zoo:nothing": "*zoo has no model 'nothing'*gpt_neox*",
        "shop:x": "*unknown scheme 'shop'*",
        "a b": "*no model 'a b'*",
        "~nobody-has-this-name/m": "no directory ~nobody-has-this-name/m: *home directory*",
        "./empty@main": "no directory ./empty@main *a directory has no revisions*",
        "https://huggingface.co/org/name": "*is an address: write org/name*",
        "./\x1b[31mred": "no directory ./?x1b?31mred *",
    }


class TestModelsThatCannotBeOpened:
    def test_each_is_one_line_and_exit_4(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
        for model, said in broken_directories(pytester.path).items():
            result = pytester.runpytest(
                "--interp-model=zoo:gpt_neox", "--interp-model", model, "--interp-json=out.json"
            )
            assert result.ret == pytest.ExitCode.USAGE_ERROR, model
            errors = [line for line in result.errlines if line]
            assert len(errors) == 1, errors
            result.stderr.fnmatch_lines([f"ERROR: {said}"])
            assert not result.outlines
        assert not (pytester.path / "out.json").exists()

    def test_a_hub_that_cannot_be_reached(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setenv("HF_HOME", str(pytester.path / "hub"))
        result = pytester.runpytest_subprocess("--interp-model=org/model@main", "--interp-json=out.json")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert len([line for line in result.errlines if line]) == 1
        result.stderr.fnmatch_lines(["ERROR: org/model@main is not in the cache*http://127.0.0.1:9 cannot be reached*"])
        assert not (pytester.path / "out.json").exists()
