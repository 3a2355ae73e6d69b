"""How many clusters a decision would probably need, if what was seen so far goes on.

The wealth is carried forward along its expected path: each further cluster multiplies each bettor's wealth by the
geometric mean of the factors seen so far. Deterministic, no simulation. Scale [0, 1] throughout.
"""

from __future__ import annotations

import numpy as np

from .betting import Floats, accumulated, log_factors, log_mixture, moving_threshold

__all__ = ["draws_needed", "least_draws"]

_FARTHEST = 2**40


def draws_needed(x: Floats, log_wealth: Floats, threshold: float, level: float, population: int | None) -> int | None:
    """Clusters in all until the mixture would reach ``1 / level`` against ``threshold``.

    ``x`` values so far (n,), ``log_wealth`` each bettor's (24,), below the limit as yet. None if no bettor grows, or
    none would get there within 2**40 clusters. For a finite list the answer is at most its length, where everything is
    known.
    """
    if population is None:
        return _endless(x, log_wealth, threshold, level)
    return _list(x, log_wealth, threshold, level, population)


def least_draws(value: float, threshold: float, level: float, population: int | None) -> int | None:
    """Clusters after which a mean above ``threshold`` would be shown if each of them had this value; None if no number
    would do.
    """
    if population is not None and value < threshold:
        return None
    first = log_factors(np.full(1, value), threshold)[0]
    if float(log_mixture(first)) >= -np.log(level) or population == 1:
        return 1
    return draws_needed(np.full(1, value), first, threshold, level, population)


def _endless(x: Floats, log_wealth: Floats, threshold: float, level: float) -> int | None:
    growth = log_factors(x, threshold).mean(axis=0)
    limit = -np.log(level)

    def decided(more: int) -> bool:
        return bool(log_mixture(log_wealth + more * growth) >= limit)

    if growth.max() <= 0.0:
        return None
    enough = 1
    while not decided(enough):  # the path is convex and starts below the limit: it crosses once
        enough *= 2
        if enough > _FARTHEST:
            return None
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        too_few, enough = (too_few, middle) if decided(middle) else (middle, enough)
    return x.size + enough


def _list(x: Floats, log_wealth: Floats, threshold: float, level: float, population: int) -> int:
    left = population - x.size
    typical = _typical_values(x)
    sums = float(x.sum()) + float(x.mean()) * np.arange(left)
    drawn = np.arange(x.size, population, dtype=np.float64)
    m = moving_threshold(np.asarray(sums, dtype=np.float64), drawn, threshold, population)
    growth = np.zeros((left, log_wealth.size))
    for value in typical:
        growth += log_factors(np.full(left, value), m) / typical.size
    wealth = log_mixture(accumulated(log_wealth, growth)[1:])
    certain = sums + float(x.mean()) >= population * threshold
    reached = np.flatnonzero((wealth >= -np.log(level)) | certain)
    return int(x.size + reached[0] + 1) if reached.size else population


def _typical_values(x: Floats) -> Floats:
    """At most 32 values that stand for the distribution of ``x``: the means of equal parts of the sorted values."""
    parts = np.array_split(np.sort(x), min(32, x.size))
    return np.array([part.mean() for part in parts], dtype=np.float64)
