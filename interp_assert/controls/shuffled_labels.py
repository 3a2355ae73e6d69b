"""Shuffled labels: the whole recipe again, on labels that say nothing (METHODS: C2).

Labels are shuffled at the level at which they were given: among groups where a group carries one label, within groups
where it carries both. Activations, groups and parts stay. So every shuffled labelling is as likely as the real one if
the activations know nothing of it, and the p-value is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ..stats import ControlResult, Outcome, Split
from ..stats.splits import PARTS

__all__ = ["EXCEEDANCES", "SHUFFLES", "shuffle_labels", "shuffled_labels"]

Labels = NDArray[np.int64]

SHUFFLES = 199
"""at most; more where the level asks for more"""
EXCEEDANCES = 10
"""shuffles that do as well, after which it is clear that the labels do not matter (Besag & Clifford 1991)"""
_AT_ONCE = 25


def shuffle_labels(
    labels: Labels, groups: Sequence[str], split: Split, rng: np.random.Generator, count: int = 1
) -> Labels:
    """(count, examples) shuffled labelings, part by part, so that every part keeps its number of groups of a class."""
    labels = np.asarray(labels, dtype=np.int64)
    shuffled = np.tile(labels, (count, 1))
    for part in PARTS:
        places = np.asarray(getattr(split, part))
        _, group = np.unique([groups[place] for place in places], return_inverse=True)
        ordered = np.argsort(group, kind="stable")
        places, group = places[ordered], group[ordered]
        sizes = np.bincount(group)
        ones = np.bincount(group, weights=labels[places])
        whole = (ones == 0) | (ones == sizes)
        first = np.cumsum(sizes) - sizes
        marks, mixed = labels[places[first]][whole], ~whole[group]
        for row in shuffled:
            row[places[~mixed]] = np.repeat(rng.permutation(marks), sizes[whole])
            within = np.lexsort((rng.random(int(mixed.sum())), group[mixed]))
            row[places[mixed]] = labels[places[mixed][within]]
    return shuffled


def shuffled_labels(
    own: float,
    refit: Callable[[Labels], NDArray[np.float64]],
    labels: Labels,
    groups: Sequence[str],
    split: Split,
    *,
    level: float,
    fail_level: float | None = None,
    seed: int = 0,
    each: Callable[[int], None] | None = None,
) -> ControlResult:
    """Compare the AUROC ``own`` with those that ``refit`` (labelings, examples) -> (labelings,) gets.

    PASS if p <= level, p being (1 + shuffles that do as well) / (1 + shuffles); FAIL if so many do as well, ten at
    once, that p is established to be above the level, with error ``fail_level`` (``level`` if it is None). Ten end the
    shuffling (Besag & Clifford 1991), so a claim on noise costs few refits. ``each(k)`` is called after k of them.
    """
    from scipy.stats import binom

    rng = np.random.default_rng([seed, 0x5AFF])
    most = max(SHUFFLES, ceil(2 / level) - 1)
    found: list[float] = []
    while len(found) < most and sum(value >= own for value in found) < EXCEEDANCES:
        count = min(_AT_ONCE, most - len(found))
        for value in refit(shuffle_labels(labels, groups, split, rng, count)).tolist():
            found.append(float(value))
            if sum(other >= own for other in found) == EXCEEDANCES:
                break
        if each is not None:
            each(len(found))
    exceeding, tried = sum(value >= own for value in found), len(found)
    p = exceeding / tried if exceeding == EXCEEDANCES else (1 + exceeding) / (1 + tried)
    if p <= level:
        outcome = Outcome.PASS
    elif float(binom.sf(exceeding - 1, tried, level)) <= (level if fail_level is None else fail_level):
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.INCONCLUSIVE
    threshold = float(np.sort(found)[::-1][min(tried - 1, max(0, int(level * (1 + tried)) - 1))])
    return ControlResult(
        name="shuffled_labels",
        outcome=outcome,
        estimate=own,
        interval=None,
        threshold=threshold,
        n=tried,
        note=f"the same recipe on {tried} shuffled labelings: mean {np.mean(found):.3f}, most {max(found):.3f}; "
        f"{exceeding} do as well, p = {p:.3g}",
        details={"p": p, "exceeding": exceeding, "shuffles": tried, "mean": float(np.mean(found)), "most": max(found)},
    )
