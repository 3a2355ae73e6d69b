"""Tier A for a ratio of two means, E[a] / E[b] with b > 0, or for a mean without bounds: above or below a limit?

The claim E[a] / E[b] < limit is E[limit * b - a] > 0, which an ``ApproximateGate`` decides: never a mean of ratios,
which a few small denominators carry away. The interval is Fieller's, the limits that the same test would not reject.
"""

from __future__ import annotations

from math import inf, isfinite, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from .approximate import LOOKS, ApproximateGate, per_look
from .levels import ErrorLevels
from .verdict import Outcome

__all__ = ["RatioGate", "ratio_interval"]


class RatioGate:
    """Fed with pairs (a, b), one per cluster (b = 1 for a mean); looks where ``ApproximateGate`` looks, at 64 to 512
    clusters, and is as approximate. Equal values everywhere decide nothing.

    Raises UsageProblem for a limit that is not finite; ``update`` raises NonFiniteMeasurement.
    """

    approximate = True

    def __init__(
        self, limit: float, *, direction: Literal["higher", "lower"] = "lower", levels: ErrorLevels | None = None
    ) -> None:
        if not isfinite(limit):
            raise UsageProblem(f"limit={limit} must be finite")
        self.threshold = float(limit)
        self.direction = direction
        self.gate = ApproximateGate(levels=levels)
        self._pairs: NDArray[np.float64] = np.empty((0, 2))

    def update(self, values: ArrayLike, over: ArrayLike = 1.0) -> Outcome:
        """Take further clusters and return the outcome so far; nothing is counted once decided."""
        a = np.atleast_1d(np.asarray(values, dtype=np.float64))
        b = np.broadcast_to(np.asarray(over, dtype=np.float64), a.shape)
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise NonFiniteMeasurement("a value that is not finite; find out why before deciding anything")
        if self.outcome is Outcome.INCONCLUSIVE:
            self._pairs = np.concatenate([self._pairs, np.stack([a, b], 1)])
            below = self.threshold * b - a
            self.gate.update(below if self.direction == "lower" else -below)
        return self.gate.outcome

    @property
    def outcome(self) -> Outcome:
        """PASS or FAIL once a look has established it, INCONCLUSIVE until then."""
        return self.gate.outcome

    @property
    def n(self) -> int:
        """Clusters counted."""
        return self.gate.n

    @property
    def estimate(self) -> float | None:
        """The ratio of the means of the counted clusters; None before any, or where the mean of b is not positive."""
        a, b = self._pairs[: self.n].T
        return float(a.mean() / b.mean()) if self.n and b.mean() > 0 else None

    @property
    def interval(self) -> tuple[float, float]:
        """The limits that the tests of the latest look do not reject: the end that the claim must clear at the level of
        PASS, the other at that of FAIL. Unbounded before the first look, where b is not clearly positive, or where no
        value differs from another.
        """
        seen = max((look for look in LOOKS if look <= self.n), default=0)
        pairs = self._pairs[:seen]
        if not seen or not np.ptp(pairs, axis=0).any():
            return -inf, inf
        levels = self.gate.levels
        low, high = (levels.fail, levels.pass_) if self.direction == "lower" else (levels.pass_, levels.fail)
        return _fieller_end(pairs, per_look(low), -1), _fieller_end(pairs, per_look(high), 1)

    def needed(self) -> int | None:
        """The look that would probably decide; None when decided or when none would."""
        return self.gate.needed()


def ratio_interval(values: ArrayLike, over: ArrayLike, *, level: float) -> tuple[float, float]:
    """Fieller's interval for E[values] / E[over], one pair per cluster, that misses it with probability ``level``, half
    of it on each side; approximate. Unbounded for a single cluster, or where the mean of ``over`` is not clearly
    positive.
    """
    pairs = np.stack([np.asarray(values, dtype=np.float64), np.asarray(over, dtype=np.float64)], 1)
    if len(pairs) < 2:
        return -inf, inf
    low, high = (_fieller_end(pairs, level / 2, side) for side in (-1, 1))
    middle = float(pairs[:, 0].mean() / pairs[:, 1].mean())  # which rounding must not leave outside
    return min(low, middle), max(high, middle)


def _fieller_end(pairs: NDArray[np.float64], level: float, side: int) -> float:
    """The upper (side 1) or lower (-1) value r at which a one-sided test of E[r b - a] = 0 has p = level."""
    from scipy.stats import t

    n = len(pairs)
    (a, b), ((s_aa, s_ab), (_, s_bb)) = pairs.mean(0), np.cov(pairs.T)
    reach = float(t.ppf(level, n - 1)) ** 2 / n
    square = b * b - reach * s_bb
    if square <= 0 or b <= 0:
        return side * inf
    middle, last = a * b - reach * s_ab, a * a - reach * s_aa
    return float((middle + side * sqrt(max(middle * middle - square * last, 0.0))) / square)
