"""A pytester directory whose models and measurements are written down in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interp_assert.records import Results, read_results

SUITE = """
from known_models import assert_scores

def test_score(interp_model, interp_settings):
    assert_scores(interp_model, **interp_settings)
"""
RUN = ("--interp-model=zoo:alpha,tuned=zoo:beta", "--interp-suites=known", "--interp-json=results.json")


class Known:
    """Runs the suite ``known`` over ``zoo:alpha`` and ``tuned``, and tells what was done."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.pytester.makepyfile(
            known_models=(Path(__file__).parent / "known_models.py").read_text(),
            known_suite=SUITE,
            conftest="from known_models import pytest_configure, pytest_interp_suites",
        )
        self.pytester.syspathinsert()

    def say(self, **models: object) -> None:
        """What the models are; see known_models.py."""
        (self.path / "known.json").write_text(json.dumps(models), encoding="utf-8")

    def run(self, *arguments: str, status: int = 1) -> pytest.RunResult:
        """One run, which must end with this status."""
        result = self.pytester.runpytest(*(RUN + arguments))
        assert result.ret == status, result.stdout.str() + result.stderr.str()
        return result

    def passes(self) -> list[str]:
        """What was done since this was last asked: opened models and forward passes."""
        path = self.path / "passes.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    @property
    def results(self) -> Results:
        """Of the last run."""
        return read_results(self.path / "results.json")

    @property
    def entries(self) -> list[Path]:
        """Of the cache."""
        return sorted((self.path / ".pytest_cache" / "d" / "interp").glob("*.entry"))
