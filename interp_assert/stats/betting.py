"""A mixture of 24 bets against "the mean is at most m": the wealth that grows if, and only if, the mean is larger.

Waudby-Smith & Ramdas (2024, JRSS-B 86:1), with a fixed grid of bets in place of adaptive ones: at a Bernoulli mean of
.95 against .9 adaptive bets lose money, the mixture does not, and the wealth does not depend on the order of the
values.

Everything here is on the scale [0, 1] and in logarithms; wealth starts at 1 (log 0).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BETS", "accumulated", "log_factors", "log_mixture", "moving_threshold"]

Floats = NDArray[np.float64]

BETS: Floats = np.geomspace(0.01, 0.99, 24)
"""the share of the wealth that each bettor stakes; as lambda it is ``BETS / m``"""
BETS.flags.writeable = False


def log_factors(x: Floats, m: Floats | float) -> Floats:
    """What one value does to each bettor: ``log(1 + c (x - m) / m)``.

    ``x`` values in [0, 1], shape (n,); ``m`` the mean betted against, scalar or (n,); returns (n, 24). Each factor has
    expectation at most 1 if the mean of x is at most m. Against m = 0 a positive value is impossible (infinite gain),
    and 0 changes nothing.
    """
    x = np.asarray(x, dtype=np.float64)
    m = np.broadcast_to(np.asarray(m, dtype=np.float64), x.shape)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        excess = np.where(m > 0.0, (x - m) / m, np.where(x > 0.0, np.inf, 0.0))
    return np.log1p(excess[:, None] * BETS)


def log_mixture(log_wealth: Floats, shares: Floats | None = None) -> Floats:
    """The log of the average wealth over the last axis (the bettors); infinite where one of them is infinitely rich.

    ``shares`` (24,) of the first stake, 1 in all, fixed before any value is seen; equal ones by default.
    """
    if shares is not None:  # without a stake there is nothing to grow, however rich the bettor would be
        log_wealth = np.where(shares > 0.0, log_wealth, -np.inf)
    top = log_wealth.max(axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(over="ignore", divide="ignore"):
        wealth = np.exp(log_wealth - top)
        pooled = wealth.mean(axis=-1) if shares is None else (wealth * np.where(shares > 0.0, shares, 1.0)).sum(axis=-1)
        return np.asarray(np.log(pooled) + top[..., 0])


def accumulated(start: Floats | float, steps: Floats) -> Floats:
    """``start``, then ``start`` plus the first step, and so on: (n + 1, ...) from (n, ...).

    The start is the first summand, so that a run in pieces adds the same numbers in the same order as one run.
    """
    first = np.broadcast_to(np.asarray(start, dtype=np.float64), steps.shape[1:])[None]
    return np.asarray(np.add.accumulate(np.concatenate([first, steps]), axis=0))


def moving_threshold(sums: Floats, drawn: Floats, mean: float, population: int) -> Floats:
    """The mean of what is still in a list of ``population`` values if the mean of the whole list is ``mean``.

    ``sums`` and ``drawn``: sum and number of the values already taken, same shape. ``m_t = (N mean - S) / (N - t + 1)``
    with t = drawn + 1, cut to [0, 1]: outside it the list's mean is already certain to be larger (smaller).
    """
    return np.clip((population * mean - sums) / np.maximum(population - drawn, 1), 0.0, 1.0)
