"""Is a measurement not worse than an earlier one of the same clusters? Paired non-inferiority on fixed clusters.

Nothing is looked at before all clusters are there, so the bounds need to hold once only. On draws from an endless
supply of bounded scores they are exact (betting, as in the sequential gate); on scores without bounds they come from a
t-test at a third of the level, marked approximate. A finite list that was measured whole has no sampling error: the
difference is what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from .betting import BETS
from .confidence import lower_end
from .levels import ErrorLevels
from .verdict import Outcome

__all__ = ["DELTA", "Change", "not_worse", "tolerated_loss"]

DELTA = 0.05
"""of a score's range, that may be lost; of the earlier estimate where a score has no bounds"""

SHARES = np.zeros(BETS.size)
SHARES[[23, 20, 17, 14, 11]] = 0.5, 0.2, 0.15, 0.1, 0.05
"""Half of the stake goes to the boldest bettor, who wins most where hardly anything has changed: so 128 clusters show
that nothing did, for which an even mixture needs 146. The others are as many as are needed not to miss by much what
larger changes to and fro want. Simulated for changes around 0, the PASS rate with 128 clusters is .98 for a standard
deviation of .05 (evenly among all 24: .03); with 512 it is .61 for one of .3 (.56), and .60 where 4% are lost and as
many won (.56)."""

_SAFETY = 3.0
"""heavy tails make the t-test's true error up to three times nominal"""

_ROUNDING = 1e-9
"""of the range: by how much sums may be off"""


@dataclass(frozen=True)
class Change:
    """What became of a score, over the clusters that were measured both times.

    Attributes:
        outcome: PASS: not worse by ``limit`` or more; FAIL: worse by more; INCONCLUSIVE: these clusters do not tell.
        before: mean of the earlier values.
        now: mean of the later ones.
        interval: of ``now - before``; the end that must clear the limit has the error level of a wrong PASS, the other
            that of a wrong FAIL.
        limit: the loss that is tolerated, above 0.
        n: clusters.
        approximate: whether the interval rests on a t-test.
    """

    outcome: Outcome
    before: float
    now: float
    interval: tuple[float, float]
    limit: float
    n: int
    approximate: bool

    @property
    def change(self) -> float:
        """``now - before``."""
        return self.now - self.before


def tolerated_loss(lo: float, hi: float, before: float, delta: float = DELTA) -> float:
    """``delta`` of the range of a score, of its earlier estimate where the range is infinite."""
    return delta * (hi - lo if isfinite(hi - lo) else abs(before))


def not_worse(
    before: Sequence[float] | ArrayLike,
    now: Sequence[float] | ArrayLike,
    *,
    lo: float,
    hi: float,
    direction: Literal["higher", "lower"],
    limit: float,
    levels: ErrorLevels | None = None,
    whole_list: bool = False,
) -> Change:
    """Compare values (n,) of the same clusters in the same order. ``lo`` and ``hi`` bound a value.

    Raises ``NonFiniteMeasurement`` for values that are not finite, ``UsageProblem`` for lengths that differ, no cluster
    or a negative limit.
    """
    earlier, later = (np.asarray(values, dtype=np.float64).ravel() for values in (before, now))
    levels = levels if levels is not None else ErrorLevels()
    if earlier.size != later.size or earlier.size == 0:
        raise UsageProblem(f"{earlier.size} earlier and {later.size} later values: pairs are needed, one at least")
    if not (np.isfinite(earlier).all() and np.isfinite(later).all()):
        raise NonFiniteMeasurement("values that are not finite cannot be compared; find out where they come from")
    if not limit >= 0.0:
        raise UsageProblem(f"limit={limit} must be 0 or more: the loss that is tolerated")
    sign = 1.0 if direction == "higher" else -1.0
    gain = sign * (later - earlier)
    approximate = False
    if whole_list:
        low = high = float(gain.mean())
    elif isfinite(hi - lo):
        low, high = _exact(gain, hi - lo, levels)
    else:
        low, high = _approximate(gain, levels)
        approximate = True
    slack = _ROUNDING * (hi - lo if isfinite(hi - lo) else max(1.0, abs(float(earlier.mean()))))
    outcome = Outcome.INCONCLUSIVE
    if low >= -limit - slack if whole_list else low > -limit:
        outcome = Outcome.PASS
    elif high < -limit:
        outcome = Outcome.FAIL
    interval = (low, high) if sign > 0 else (-high, -low)
    return Change(outcome, float(earlier.mean()), float(later.mean()), interval, limit, gain.size, approximate)


def _exact(gain: NDArray[np.float64], width: float, levels: ErrorLevels) -> tuple[float, float]:
    x = np.clip((gain + width) / (2.0 * width), 0.0, 1.0)
    low, high = lower_end(x, levels.pass_, shares=SHARES), 1.0 - lower_end(1.0 - x, levels.fail, shares=SHARES)
    mean = float(gain.mean())  # which rounding must not leave outside
    return min(2.0 * width * low - width, mean), max(2.0 * width * high - width, mean)


def _approximate(gain: NDArray[np.float64], levels: ErrorLevels) -> tuple[float, float]:
    """Unbounded where there is no spread: such a sample says nothing about its own error."""
    if gain.size < 2 or np.ptp(gain) == 0.0:
        return -inf, inf
    from scipy.stats import t

    error, mean = float(gain.std(ddof=1)) / sqrt(gain.size), float(gain.mean())
    low = mean + error * float(t.ppf(levels.pass_ / _SAFETY, gain.size - 1))
    high = mean - error * float(t.ppf(levels.fail / _SAFETY, gain.size - 1))
    return low, high
