"""A family of runs of one claim whose right decision is known, how often it is run, and what the counts must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import beta, binomtest

from interp_assert.stats import ErrorLevels, Outcome

__all__ = [
    "BOUNDARY",
    "NULLS",
    "POSITIVES",
    "TRAINED",
    "Family",
    "Tally",
    "drawn",
    "faults",
    "mixed",
    "tally",
    "upper_bound",
]

NULLS, BOUNDARY, POSITIVES = 299, 1000, 29
"""runs in full: 0 PASS in 299 bounds the rate below .01, and 0 misses in 29 the power above .9, with 95 % confidence"""

TRAINED = 30
"""nulls end to end of a claim for which something is trained at length on every twin; the others are drawn as scores"""

_REJECTED = 0.01
"""the level of the calibration's own test of an error rate at the boundary"""

LEVELS = ErrorLevels()

Kind = Literal["null", "boundary", "positive"]
Level = Literal["end to end", "scores"]


@dataclass(frozen=True)
class Family:
    """Attributes:
    claim: what it is a run of.
    name: what is true, against what is claimed.
    kind: an interior null must never PASS; at the boundary it may at its level; a positive must PASS.
    level: "end to end" goes from a model to a verdict; "scores" draws the scores and goes through the same gates and
        controls.
    run: replicate k -> its outcome; whatever is random depends on k alone.
    planned: the clusters that a run may draw, which the theory of its power counts with.
    full, sample: how many replicates in full and in CI.
    levels: of the claim.
    fail_is_wrong: at the boundary; on a finite list just beside it FAIL is right.
    """

    claim: str
    name: str
    kind: Kind
    level: Level
    run: Callable[[int], Outcome]
    planned: str
    full: int
    sample: int
    levels: ErrorLevels = LEVELS
    fail_is_wrong: bool = True

    @property
    def id(self) -> str:
        return f"{self.claim}: {self.kind}, {self.level}: {self.name}"


@dataclass(frozen=True)
class Tally:
    """How often each outcome came out."""

    runs: int
    passed: int
    failed: int
    open: int


def mixed(members: Mapping[str, Callable[[int], Outcome]]) -> Callable[[int], Outcome]:
    """Replicate k is one of the members, in turn."""
    runs = list(members.values())
    return lambda k: runs[k % len(runs)](k)


def tally(family: Family, runs: int, *, first: int = 0) -> Tally:
    """Run replicates first .. first + runs - 1."""
    found = Counter(family.run(first + k) for k in range(runs))
    passed, failed = found[Outcome.PASS], found[Outcome.FAIL]
    return Tally(runs, passed, failed, runs - passed - failed)


def faults(family: Family, counted: Tally) -> list[str]:
    """What the counts must not be, as sentences; empty if all is well."""
    said = []
    if family.kind == "null" and counted.passed:
        said.append(f"{counted.passed} of {counted.runs} interior nulls PASS")
    if family.kind == "positive" and counted.passed < counted.runs:
        said.append(f"{counted.runs - counted.passed} of {counted.runs} positives do not PASS")
    if family.kind == "boundary" and _above(counted.passed, counted.runs, family.levels.pass_):
        said.append(f"{counted.passed} of {counted.runs} PASS at the boundary, level {family.levels.pass_:g}")
    if family.kind == "boundary" and family.fail_is_wrong and _above(counted.failed, counted.runs, family.levels.fail):
        said.append(f"{counted.failed} of {counted.runs} FAIL at the boundary, level {family.levels.fail:g}")
    return [f"{family.id}: {each}" for each in said]


def _above(errors: int, runs: int, level: float) -> bool:
    return bool(binomtest(errors, runs, level, alternative="greater").pvalue <= _REJECTED)


def upper_bound(errors: int, runs: int) -> float:
    """Clopper & Pearson's one-sided 95 % bound on an error rate."""
    return 1.0 if errors == runs else float(beta.ppf(0.95, errors + 1, runs - errors))


def drawn(values: Sequence[float] | np.ndarray, count: int, seed: Sequence[int]) -> np.ndarray:
    """``count`` of the values, with replacement."""
    return np.asarray(np.random.default_rng(list(seed)).choice(np.asarray(values), count))
