"""The confidence sequence of the gate: the smallest mean that the bets have not refuted, found by bisection.

Inverting one test per candidate mean gives an interval that holds at every sample at once (Ville's inequality), so it
may be read where a gate stopped. The wealth falls as the candidate rises, which makes bisection exact. Scale [0, 1]
throughout.
"""

from __future__ import annotations

from math import inf, isinf, sqrt

import numpy as np

from .betting import Floats, accumulated, log_factors, log_mixture, moving_threshold
from .measurement import Measurement

__all__ = ["log_wealth_against", "lower_end", "mean_interval"]

_RESOLUTION = 1e-15
"""width, on [0, 1], at which bisection stops: about four roundings of a number near 1"""


def log_wealth_against(x: Floats, mean: float, population: int | None = None, shares: Floats | None = None) -> float:
    """The log-wealth, after all of ``x`` (n,), of betting that the mean is larger than ``mean``."""
    if population is None:
        distinct, counts = np.unique(x, return_counts=True)
        factors = log_factors(distinct, mean)
        return float(log_mixture((factors * counts[:, None]).sum(axis=0), shares))
    sums = accumulated(0.0, x)[:-1]
    m = moving_threshold(sums, np.arange(x.size, dtype=np.float64), mean, population)
    return float(log_mixture(log_factors(x, m).sum(axis=0), shares))


def lower_end(x: Floats, level: float, population: int | None = None, shares: Floats | None = None) -> float:
    """The smallest mean in [0, 1] against which the wealth is below ``1 / level``.

    ``x``: the values so far, in the order drawn, (n,). With ``population`` the mean is that of a finite list, which
    cannot lie below S / N or above (S + N - n) / N; a list drawn to its end has one possible mean. ``shares``: how the
    stake is dealt out to the bettors, if not evenly.
    """
    if x.size == 0:
        return 0.0
    total = float(accumulated(0.0, x)[-1])
    if population is None:
        refuted, possible = 0.0, float(np.clip(total / x.size, 0.0, 1.0))
    else:
        refuted, possible = total / population, min((total + population - x.size) / population, 1.0)
        if x.size == population:
            return min(refuted, 1.0)
    limit = -np.log(level)

    def is_refuted(mean: float) -> bool:
        return log_wealth_against(x, mean, population, shares) >= limit

    if not is_refuted(refuted):
        return refuted
    if is_refuted(possible):  # only a list, in an order that chance gives with probability below the level
        return possible
    while possible - refuted > _RESOLUTION:
        middle = refuted + (possible - refuted) / 2.0
        if is_refuted(middle):
            refuted = middle
        else:
            possible = middle
    return possible


def mean_interval(measured: Measurement, *, level: float, population: int | None = None) -> tuple[float, float, bool]:
    """(low, high, whether approximate): an interval that misses the mean with probability at most ``level``, half of
    it on each side.

    Exact, whatever the distribution, where the range of the values is finite; the end that is infinite otherwise, and
    both ends then, come from Student's t. ``population`` is the number of clusters of a finite list, of which the
    values were drawn in random order.
    """
    if not (isinf(measured.lo) or isinf(measured.hi)):
        width = measured.hi - measured.lo
        x = np.clip((measured.values - measured.lo) / width, 0.0, 1.0)
        low, high = lower_end(x, level / 2, population), 1.0 - lower_end(1.0 - x, level / 2, population)
        mean = measured.estimate  # which rounding must not leave outside
        return min(measured.lo + width * low, mean), max(measured.lo + width * high, mean), False
    if measured.n < 2:
        return -inf, inf, True
    from scipy.stats import t

    error = float(measured.values.std(ddof=1)) / sqrt(measured.n)
    if population is not None:
        error *= sqrt(max(0.0, 1.0 - measured.n / population))
    reach = error * float(t.ppf(1.0 - level / 2, measured.n - 1))
    return measured.estimate - reach, measured.estimate + reach, True
