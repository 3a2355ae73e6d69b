"""The page tells what was counted, of what the code runs now, and nothing that should not have come out."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from .claims import CLAIMS, NAMES, families_of
from .family import NULLS, POSITIVES, TRAINED, Tally, faults
from .mutants import PLACES
from .page import ORACLES, PAGE, read, render

ROOT = PAGE.parents[1]


def test_the_page_is_what_the_counts_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(read()), "run `python -m calibration` in tests"


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_counts_are_those_of_the_families_as_they_are(claim: str) -> None:
    """A dial that moved, by a change of the code or of the rule, asks for a new run."""
    rows = [row for row in read()["families"] if row["claim"] == NAMES[claim]]
    families = families_of(claim)
    kept = [(row["name"], row["kind"], row["level"], row["planned"], row["runs"]) for row in rows]
    assert kept == [(each.name, each.kind, each.level, each.planned, each.full) for each in families]
    for family, row in zip(families, rows, strict=True):
        counted = Tally(row["runs"], row["passed"], row["failed"], row["open"])
        assert counted.passed + counted.failed + counted.open == counted.runs
        assert not faults(family, counted)


def test_there_are_as_many_runs_as_a_calibration_takes() -> None:
    counts: Counter[tuple[str, str]] = Counter()
    end_to_end: Counter[str] = Counter()
    for row in read()["families"]:
        counts[row["claim"], row["kind"]] += row["runs"]
        if row["level"] == "end to end" and row["kind"] == "null":
            end_to_end[row["claim"]] += row["runs"]
    for claim in NAMES.values():
        assert counts[claim, "null"] >= NULLS
        assert counts[claim, "boundary"] >= 600
        assert counts[claim, "positive"] >= POSITIVES
        assert end_to_end[claim] >= (TRAINED if claim == NAMES["coders"] else NULLS)
    assert end_to_end[NAMES["coders"]] <= 30


def test_every_mutant_is_killed_and_every_oracle_is_a_test() -> None:
    mutants = read()["mutants"]
    assert [each["tests"] for each in mutants] == list(PLACES)
    assert all(each["killed"] == each["made"] > 0 for each in mutants)
    for name, _, place in ORACLES:
        assert re.search(rf"\b{name}\b", (ROOT / place).read_text(encoding="utf-8")), f"{name} is not named in {place}"
