"""A second, independent implementation of the sequential gate, fast enough for error rates.

For coin flips the wealth after n draws depends on the number of hits only, so the gate is a random walk between two
boundaries and its error rates and sample sizes follow exactly, without simulation, by summing over hits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = 0.01 * (0.99 / 0.01) ** (np.arange(24) / 23.0)


def mean_wealth(hits: NDArray, misses: NDArray, tau: float) -> NDArray:
    """Log of the mixture's wealth against a hit rate of ``tau``, same shape as ``hits``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        per_bet = np.where(hits[..., None] > 0, hits[..., None] * np.log(1.0 - GRID + GRID / tau), 0.0)
    per_bet = per_bet + misses[..., None] * np.log(1.0 - GRID)
    return np.logaddexp.reduce(per_bet, axis=-1) - np.log(GRID.size)


def _least_hits(tau: float, level: float, horizon: int) -> NDArray:
    """For n = 0..horizon the least number of hits that makes the wealth reach 1 / level (n + 1 where none does), by
    bisection.
    """
    n = np.arange(horizon + 1)
    low, high = np.full(n.shape, -1), n + 1
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = mean_wealth(middle, n - middle, tau) >= -np.log(level)
        open_ = high - low > 1
        high, low = np.where(open_ & reached, middle, high), np.where(open_ & ~reached, middle, low)
    return high


@dataclass(frozen=True)
class CoinGate:
    """Where a gate on coin flips passes (hits >= ``passes[n]``) and fails (hits <= ``fails[n]``)."""

    passes: NDArray
    fails: NDArray

    @classmethod
    def against(cls, tau: float, pass_level: float, fail_level: float, horizon: int) -> CoinGate:
        fewest_misses = _least_hits(1.0 - tau, fail_level, horizon)
        return cls(_least_hits(tau, pass_level, horizon), np.arange(horizon + 1) - fewest_misses)

    def run(self, mean: float) -> tuple[NDArray, NDArray]:
        """The exact probabilities of PASS and of FAIL by n = 0..horizon, looking after every flip of a coin with this
        mean.
        """
        horizon = self.passes.size - 1
        alive = np.zeros(horizon + 2)
        alive[0] = 1.0
        passed, failed = np.zeros(horizon + 1), np.zeros(horizon + 1)
        for n in range(1, horizon + 1):
            alive[1 : n + 1] = alive[1 : n + 1] * (1.0 - mean) + alive[:n] * mean
            alive[0] *= 1.0 - mean
            up, down = self.passes[n], self.fails[n]
            passed[n] = passed[n - 1] + alive[up : n + 1].sum()
            alive[up : n + 1] = 0.0
            failed[n] = failed[n - 1]
            if down >= 0:
                failed[n] += alive[: down + 1].sum()
                alive[: down + 1] = 0.0
        return passed, failed


def decisions(
    values: NDArray, tau: float, pass_level: float, fail_level: float, population: int | None = None
) -> tuple[NDArray, NDArray]:
    """For each row of ``values`` (runs, n) in [0, 1]: +1 PASS, -1 FAIL, 0 undecided; and the draw of the decision (n if
    none).
    """
    runs, n = values.shape
    if population is None:
        m = np.full_like(values, tau)
        sure_pass = sure_fail = np.zeros(values.shape, dtype=bool)
    else:
        sums = values.cumsum(axis=1)
        before = np.concatenate([np.zeros((runs, 1)), sums[:, :-1]], axis=1)
        left = population - np.arange(n)
        m = ((population * tau - before) / left).clip(1e-15, 1.0 - 1e-15)
        sure_pass = sums >= population * tau - 1e-9
        sure_fail = sums + left - 1 < population * tau - 1e-9
    wealth_pass, wealth_fail = np.zeros_like(values), np.zeros_like(values)
    for share in GRID:
        wealth_pass += np.exp(np.minimum(np.log(1.0 - share + share * values / m).cumsum(axis=1), 600.0)) / GRID.size
        mirrored = (1.0 - values) / (1.0 - m)
        wealth_fail += np.exp(np.minimum(np.log(1.0 - share + share * mirrored).cumsum(axis=1), 600.0)) / GRID.size
    passing = (sure_pass | (wealth_pass >= 1.0 / pass_level)) & ~sure_fail
    failing = (sure_fail | (wealth_fail >= 1.0 / fail_level)) & ~sure_pass
    decided = passing | failing
    first = np.where(decided.any(axis=1), decided.argmax(axis=1), n - 1)
    rows = np.arange(runs)
    return np.where(passing[rows, first], 1, np.where(failing[rows, first], -1, 0)), first + 1
