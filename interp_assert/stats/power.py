"""How probably the sequential gate says PASS: exact, for scores of 0 and 1.

Of all scores in [0, 1] with a given mean these are the hardest: the logarithm of a bettor's wealth is concave in each
score, so spreading a score out to the ends of its range slows the wealth down.
"""

from __future__ import annotations

from math import log

import numpy as np

from ..errors import UsageProblem
from .betting import BETS, log_mixture
from .levels import ErrorLevels

__all__ = ["highest_floor", "probability_of_pass"]


def probability_of_pass(mean: float, threshold: float, at_most: int, levels: ErrorLevels) -> float:
    """The probability that "the mean is above ``threshold``" is PASS within ``at_most`` independent hits and misses, if
    a hit has the probability ``mean``.

    The sum over all numbers of hits that are still undecided, one draw after the other: no simulation. Raises
    UsageProblem for a mean or a threshold outside [0, 1].
    """
    for name, value in (("mean", mean), ("threshold", threshold)):
        if not 0.0 <= value <= 1.0:
            raise UsageProblem(f"{name}={value} must lie between 0 and 1")
    if threshold == 1.0:
        return 0.0
    against = max(threshold, float(np.finfo(np.float64).tiny))
    passed, undecided = 0.0, np.ones(1)  # the probability of each number of hits
    passing, alive = 1, 0  # the least number of hits that passes, and that does not fail: each grows by 0 or 1 a draw
    for n in range(1, at_most + 1):
        undecided = np.append(undecided * (1.0 - mean), 0.0) + np.append(0.0, undecided * mean)
        passing += _log_wealth(passing, n - passing, against) < -log(levels.pass_)
        alive += _log_wealth(n - alive, alive, 1.0 - against) >= -log(levels.fail)
        passed += float(undecided[passing:].sum())
        undecided[passing:] = undecided[:alive] = 0.0
    return passed


def highest_floor(mean: float, at_most: int, levels: ErrorLevels, power: float, step: float = 0.01) -> float | None:
    """The highest multiple of ``step`` that scores with this mean clear with probability ``power`` or more; None if not
    even 0 is."""
    low, high = 0, round(mean / step) + 1  # of which low is cleared, if anything is, and high is not
    if probability_of_pass(mean, 0.0, at_most, levels) < power:
        return None
    high = min(high, round(1.0 / step))
    while high - low > 1:
        middle = (low + high) // 2
        if probability_of_pass(mean, middle * step, at_most, levels) >= power:
            low = middle
        else:
            high = middle
    return round(low * step, 10)


def _log_wealth(gains: int, losses: int, against: float) -> float:
    """Of betting that the mean is larger than ``against``, after so many scores of 1 and of 0 in any order."""
    return float(log_mixture(gains * np.log1p(BETS * (1.0 - against) / against) + losses * np.log1p(-BETS)))
