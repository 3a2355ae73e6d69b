"""A model tuned until it lost induction is blocked against the baseline of the one that it came from; the same model
again, and a gentle tuning, are not; a rerun changes no verdict and measures nothing."""

from __future__ import annotations

import pytest

from interp_assert import load
from interp_assert.records import read_results

COMMON = ("--interp-suites=circuits", "--interp-budget=quick", "--interp-json=results.json")


def test_the_loss_is_blocked_and_nothing_else(
    imported_once: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    monkeypatch.setenv("XDG_STATE_HOME", str(pytester.path / "state"))
    monkeypatch.delenv("CI", raising=False)

    _ = load("zoo:gpt2").module  # what it imports cannot be imported once more by each run

    def run(id: str, *arguments: str) -> tuple[int, str | None, bool]:
        """Exit status, what the comparison says, and whether anything was measured."""
        status = pytester.runpytest(f"--interp-model={id}", *COMMON, *arguments).ret
        results = read_results(pytester.path / "results.json")
        (check,), (entry,) = results.checks, results.baselines
        assert (entry["key"], entry["n"]) == ("circuits/induction", 0 if entry["status"] == "new" else 128)
        return status, entry["verdict"], check["forward_passes"] > 0

    assert run("release=zoo:gpt2", "--interp-baseline=new") == (0, None, True)
    assert run("release=zoo:gpt2-tuned") == (0, "PASS", True)
    assert run("release=zoo:gpt2-tuned-forgot") == (1, "FAIL", True)
    assert run("release=zoo:gpt2") == (0, "PASS", False)
    assert run("release=zoo:gpt2-tuned-forgot") == (1, "FAIL", False)
