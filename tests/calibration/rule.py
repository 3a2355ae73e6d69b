"""Where a calibration puts its positives and its interior nulls: one rule for every claim, fixed before any is run.

A positive lies where the theory of its gate predicts that all but one in 100,000 runs PASS, with the clusters that the
claim may draw; an interior null lies as far on the other side, where the opposite would be established as surely. The
theory knows the distribution of the scores of one cluster, and nothing of outcomes:

* exact gate: of the bets in the mixture one multiplies its wealth by f(x) with each score x. After N clusters its
  logarithm is about normal, with mean N E[log f] and variance N Var[log f]; ln(1 / level) + 1.5 decides (METHODS 3).
* t-tests: at the last look mean / error is the quantile of the look's level, beyond which lies the normal quantile.
* twins: the t-prediction from B normal twins, by the noncentral t distribution.

So nothing can be moved after an outcome was seen; 29 of 29 is what the theory promises and what is then reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, log, sqrt
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import nct, norm, t

from interp_assert.stats.approximate import LOOKS, per_look
from interp_assert.stats.betting import log_factors

__all__ = [
    "MISS",
    "beyond",
    "closest",
    "closest_ratio_limit",
    "closest_threshold",
    "predicted",
    "twin_distance",
]

MISS = 1e-5
"""of runs that the theory leaves undecided or worse"""
_QUANTILE = float(norm.isf(MISS))
_MIXTURE = 1.5
"""nats that a mixture of bets is behind the best of them"""

Option = TypeVar("Option")


def predicted(scores: ArrayLike, threshold: float, clusters: int, *, level: float = 0.01) -> bool:
    """Whether an exact gate on scores in [0, 1], distributed like these, is predicted to show a mean above
    ``threshold`` in all but ``MISS`` of runs.
    """
    if threshold <= 0.0:
        return True
    x = np.asarray(scores, dtype=np.float64)
    gains = log_factors(x, threshold)
    mean, spread = gains.mean(0), gains.std(0)
    needed = log(1.0 / level) + _MIXTURE + _QUANTILE * spread * sqrt(clusters)
    return bool((clusters * mean >= needed).any())


def closest_threshold(
    scores: ArrayLike,
    clusters: int,
    *,
    null: bool = False,
    lo: float = 0.0,
    hi: float = 1.0,
    lower: bool = False,
    level: float = 0.01,
) -> float:
    """The threshold nearest to the mean of ``scores`` that the rule allows: for a claim that the mean is above it
    (below it, with ``lower``) of a positive, or of a null.

    Where the scale ends first, its end.
    """
    x = (np.asarray(scores, dtype=np.float64) - lo) / (hi - lo)
    above = lower == null  # whether the mean lies above the threshold
    x = x if above else 1.0 - x
    at, end = float(x.mean()), 0.0
    if not predicted(x, 1e-9, clusters, level=level):
        at = 0.0
    while at - end > 1e-6:
        middle = (at + end) / 2
        if predicted(x, middle, clusters, level=level):
            end = middle
        else:
            at = middle
    return lo + (hi - lo) * (end if above else 1.0 - end)


def closest(options: Sequence[Option], allowed: Callable[[Option], bool]) -> Option:
    """The first option that the rule allows; options are in order of their distance from the threshold. The last, where
    none is allowed.
    """
    return next((option for option in options if allowed(option)), options[-1])


def beyond(clusters: int, level: float = 0.01) -> float:
    """How many standard errors of its mean, at the last look, a t-test needs."""
    last = max(look for look in LOOKS if look <= clusters)
    return float(t.isf(per_look(level), last - 1)) + _QUANTILE


def closest_ratio_limit(
    a: ArrayLike,
    b: ArrayLike,
    clusters: int,
    *,
    lower: bool = True,
    null: bool = False,
    level: float = 0.01,
    ends: tuple[float, float] = (-inf, inf),
) -> float:
    """The limit on a ratio of means E[a] / E[b], b > 0 (b = 1 for a mean), that the rule puts nearest to it: where
    limit * b - a stands that many errors from 0. Where the scale ends first, its end.
    """
    top = np.asarray(a, dtype=np.float64)
    bottom = np.broadcast_to(np.asarray(b, dtype=np.float64), top.shape)
    ratio = float(top.mean() / bottom.mean())
    last = max(look for look in LOOKS if look <= clusters)
    sign = 1.0 if lower != null else -1.0

    def missing(distance: float) -> float:
        z = (ratio + sign * distance) * bottom - top
        spread = float(z.std(ddof=1))
        return sign * float(z.mean()) * sqrt(last) / spread - beyond(clusters, level) if spread else inf

    end = ends[1] if sign > 0 else ends[0]
    far = abs(end - ratio) if abs(end) < inf else 100.0 * (abs(ratio) + 1.0)
    if missing(far) < 0.0:
        return end
    return ratio + sign * float(brentq(missing, 0.0, far, xtol=1e-9))


def twin_distance(count: int, *, level: float = 0.01) -> float:
    """By how many standard deviations of a twin a score must exceed the twins' mean plus the margin."""
    quantile, width = float(t.isf(level, count - 1)), sqrt(1.0 + 1.0 / count)

    def missing(distance: float) -> float:
        return float(nct.sf(quantile, count - 1, distance / width)) - (1.0 - MISS)

    return float(brentq(missing, 0.0, 1000.0))
