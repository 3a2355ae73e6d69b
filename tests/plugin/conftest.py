"""A directory for pytest runs inside the tests, with models and suites that cost nothing (see stand_in.py)."""

from __future__ import annotations

import gc
import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from known_runs import Known

# pytester forgets the modules that an inner run imported, and numpy and torch cannot be imported twice: the outer
# run has them.
IMPORTED_ONCE = (
    "torch",
    "tabulate",
    "interp_assert.assertions.message",
    "interp_assert.assertions.progress",
    "interp_assert.assertions.recording",
    "interp_assert.gates.reading",
    "interp_assert.gates.resolving",
    "interp_assert.gates.schema",
    "interp_assert.gates.verdict",
    "interp_assert.models.opening.pretrained",
    "interp_assert.records",
    "interp_assert.records.baseline_comparison",
    "interp_assert.records.measured",
    "interp_assert.records.remembered",
    "interp_assert.reports.baselines",
    "interp_assert.reports.gates",
    "interp_assert.reports.table",
    "interp_assert.stats.verdict",
    "interp_assert.stats.measurement",
)

SUITE = """
from stand_in import decide

def test_claim(interp_model, interp_floor, interp_settings):
    decide(interp_model, "toy/claim", interp_floor("toy/claim"), interp_settings)

def test_other(interp_model, interp_floor, interp_settings):
    decide(interp_model, "toy/other", interp_floor("toy/other", default=0.25), interp_settings)
"""


@pytest.fixture(scope="session")
def imported_once() -> None:
    for name in IMPORTED_ONCE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # models are let go by a collection, which need not look at all that was imported each time


@pytest.fixture
def toy(imported_once: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytester directory with the stand-in models and the suites ``toy`` and ``gauge``."""
    for name in ("INTERP_MODEL", "INTERP_BASE", "INTERP_SUITES", "INTERP_SEED", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(pytester.path / "state"))
    # hypothesis imports all of itself in its terminal summary; every inner run would pay for that.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    pytester.makepyfile(
        stand_in=(Path(__file__).parent / "stand_in.py").read_text(),
        toy_suite=SUITE,
        toy_gauge="def test_gauge(interp_model): assert interp_model.id",
        conftest="from stand_in import pytest_configure, pytest_interp_suites",
    )
    pytester.syspathinsert()
    return pytester


@pytest.fixture
def decisions(toy: pytest.Pytester) -> Callable[..., None]:
    """Say what the toy claims decide: ``decisions(**{"zoo:alpha": "FAIL"})``."""

    def say(**outcomes: str) -> None:
        (toy.path / "toy.json").write_text(json.dumps(outcomes))

    return say


@pytest.fixture
def collected(toy: pytest.Pytester) -> Callable[..., list[str]]:
    """The node ids that a run with these arguments would run."""

    def collect(*arguments: str, exit_status: int = 0) -> list[str]:
        result = toy.runpytest("--collect-only", "-q", *arguments)
        assert result.ret == exit_status, result.stdout.str() + result.stderr.str()
        return [line for line in result.outlines if "::" in line and " " not in line]

    return collect


@pytest.fixture
def noted(toy: pytest.Pytester) -> Callable[[str], list[str]]:
    """What the stand-ins noted: lines of ``loads.txt`` or ``preflights.txt``, each with the worker that did it."""

    def lines(name: str) -> list[str]:
        path = toy.path / name
        return path.read_text().splitlines() if path.exists() else []

    return lines


@pytest.fixture
def known(imported_once: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Known:
    """A pytester directory with models whose scores are written down (see known_models.py)."""
    for name in ("INTERP_MODEL", "INTERP_BASELINE", "INTERP_NO_CACHE", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    monkeypatch.setenv("XDG_STATE_HOME", str(pytester.path / "state"))
    return Known(pytester)


@pytest.fixture(autouse=True)
def _runs_of_their_own(registered_by_nobody: None) -> None:
    """Runs inside a test share its process, and what was registered there."""
