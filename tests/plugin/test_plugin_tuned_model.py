"""A model tuned until it lost induction is blocked against its baseline; the same model again, and a gentle tuning,
are not; a rerun changes no verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from oracles import finetuned

from interp_assert import Model, load
from interp_assert.records import read_results

CHECK = "circuits/induction"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``base``, ``gentle`` and ``forgot``, as directories."""
    folder = tmp_path_factory.mktemp("checkpoints")
    base = load("zoo:gpt2")
    made: dict[str, Callable[[Model], Model]] = {"base": lambda base: base, "gentle": finetuned.benign}
    for name, tune in (made | {"forgot": finetuned.forgot_induction}).items():
        tuned = tune(base)
        tuned.module.save_pretrained(folder / name)
        base.tokenizer.save_pretrained(folder / name)  # type: ignore[union-attr]
    return folder


def test_the_loss_is_blocked_and_nothing_else(
    imported_once: None, checkpoints: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    monkeypatch.delenv("CI", raising=False)

    def run(name: str, *arguments: str) -> tuple[int, str | None, int]:
        model = f"--interp-model=tuned={checkpoints / name}"
        common = ("--interp-suites=circuits", "--interp-budget=quick", "--interp-json=results.json")
        status = pytester.runpytest(model, *common, *arguments).ret
        results = read_results(pytester.path / "results.json")
        (check,), (entry,) = results.checks, results.baselines
        assert entry["key"] == CHECK
        return status, entry["verdict"], check["forward_passes"]

    status, verdict, passes = run("base", "--interp-baseline=new")
    assert (status, verdict) == (0, None)
    assert passes > 0
    assert run("gentle")[:2] == (0, "PASS")
    assert run("forgot")[:2] == (1, "FAIL")
    assert run("base") == (0, "PASS", 0)
    assert run("forgot") == (1, "FAIL", 0)
