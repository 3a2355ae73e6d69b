"""The exact sequential gate (Tier E): look after every cluster, stop when the claim or its opposite is established.

Two mixtures of bets run on the per-cluster scores scaled to [0, 1]: one against "the mean is at most the threshold",
one, on mirrored scores, against "the mean is at least the threshold". By Ville's inequality the first ever reaches 1 /
alpha with probability at most alpha if its hypothesis is true, however often one looks (Waudby-Smith & Ramdas 2024). At
most one of the two hypotheses can be rejected wrongly, so the levels need no splitting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf, isfinite, nextafter
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from .betting import BETS, Floats, accumulated, log_factors, log_mixture, moving_threshold
from .confidence import lower_end
from .levels import ErrorLevels
from .measurement import BadMeasurement
from .planning import draws_needed, least_draws
from .verdict import Outcome

__all__ = ["SequentialGate"]

Flags = NDArray[np.bool_]

_STATE_VERSION = 1
_ROUNDING = 1e-12
"""how far the sum of a list, per element, may be off by rounding when it is compared with N times the threshold"""


class SequentialGate:
    """Decides, value by value, whether a mean lies above ("higher") or below ("lower") a threshold.

    Life: made with a threshold, fed with ``update`` until ``outcome`` is PASS or FAIL or the caller's budget is spent,
    then read. The first decision is final: values after it are checked but not counted.

    Without ``population`` the values are independent draws, PASS establishes mean > threshold and FAIL mean < threshold
    (for "lower" the other way round). At a mean equal to the threshold either happens with at most its error level.

    With ``population=N`` the values are drawn, in random order and without replacement, from a finite list and the
    claim is about the mean of that list: PASS establishes mean >= threshold, FAIL mean < threshold ("lower": <= and >).
    The threshold for the next draw moves to m_t = (N tau - S) / (N - t + 1); what has become certain is decided at
    once, so a list drawn to its end always is.

    Raises ``UsageProblem`` for a threshold outside [lo, hi], an unbounded range, an unknown direction or an impossible
    population; ``update`` raises ``NonFiniteMeasurement``, or ``BadMeasurement`` for values out of range or more than
    the list holds.
    """

    def __init__(
        self,
        threshold: float,
        *,
        lo: float = 0.0,
        hi: float = 1.0,
        levels: ErrorLevels | None = None,
        population: int | None = None,
        direction: Literal["higher", "lower"] = "higher",
    ) -> None:
        self.threshold, self.lo, self.hi = float(threshold), float(lo), float(hi)
        self.levels = levels if levels is not None else ErrorLevels()
        self.population = population
        self.direction = direction
        if not (isfinite(self.lo) and isfinite(self.hi) and self.lo < self.hi):
            raise UsageProblem(
                f"a gate needs a finite range with lo < hi, not [{lo}, {hi}]; declare the range of the score in advance"
            )
        if not self.lo <= self.threshold <= self.hi:
            raise UsageProblem(
                f"threshold {threshold} lies outside the score's range [{lo}, {hi}]; choose one inside it"
            )
        if direction not in ("higher", "lower"):
            raise UsageProblem(f"unknown direction {direction!r}; a claim says 'higher' or 'lower'")
        if population is not None and (
            isinstance(population, bool) or not isinstance(population, int) or population < 1
        ):
            raise UsageProblem(
                f"population={population!r} must be a whole number, at least 1, or None for endless draws"
            )
        self._tau = float(self._scaled(np.array([self.threshold]))[0])
        self._values: Floats = np.empty(0)
        self._sum = 0.0
        self._wealth_pass: Floats = np.zeros(BETS.size)
        self._wealth_fail: Floats = np.zeros(BETS.size)
        self._outcome = Outcome.INCONCLUSIVE
        self._log_pass = self._log_fail = 0.0
        self._highest_pass = self._highest_fail = 0.0
        self._interval: tuple[int, tuple[float, float]] | None = None

    def update(self, values: float | Sequence[float] | ArrayLike) -> Outcome:
        """Take further per-cluster values (one or many, in the order drawn), look after each, and return the outcome so
        far.
        """
        raw = self._checked(values)
        if self._outcome is not Outcome.INCONCLUSIVE or raw.size == 0:
            return self._outcome
        x = self._scaled(raw)
        sums = accumulated(self._sum, x)
        drawn = self.n + np.arange(x.size + 1, dtype=np.float64)
        m: Floats | float = self._tau
        if self.population is not None:
            m = moving_threshold(sums[:-1], drawn[:-1], self._tau, self.population)
        wealth_pass = accumulated(self._wealth_pass, log_factors(x, m))[1:]
        wealth_fail = accumulated(self._wealth_fail, log_factors(1.0 - x, 1.0 - m))[1:]
        log_pass, log_fail = log_mixture(wealth_pass), log_mixture(wealth_fail)
        surely_pass, surely_fail = self._certainties(sums[1:], drawn[1:])
        log_pass = np.where(surely_pass, inf, np.where(surely_fail, -inf, log_pass))
        log_fail = np.where(surely_fail, inf, np.where(surely_pass, -inf, log_fail))
        passed, failed = log_pass >= -np.log(self.levels.pass_), log_fail >= -np.log(self.levels.fail)
        decided = np.flatnonzero(passed | failed)
        last = int(decided[0]) if decided.size else x.size - 1
        if decided.size:
            self._outcome = Outcome.PASS if passed[last] else Outcome.FAIL
        self._values = np.concatenate([self._values, raw[: last + 1]])
        self._sum = float(sums[last + 1])
        self._wealth_pass, self._wealth_fail = wealth_pass[last], wealth_fail[last]
        self._log_pass, self._log_fail = float(log_pass[last]), float(log_fail[last])
        self._highest_pass = max(self._highest_pass, float(log_pass[: last + 1].max()))
        self._highest_fail = max(self._highest_fail, float(log_fail[: last + 1].max()))
        return self._outcome

    @property
    def outcome(self) -> Outcome:
        """PASS or FAIL once established, INCONCLUSIVE until then."""
        return self._outcome

    @property
    def n(self) -> int:
        """Clusters counted: up to the decision, or all so far."""
        return int(self._values.size)

    @property
    def estimate(self) -> float | None:
        """The mean of the counted values (biased away from the threshold by stopping: quote the interval); None before
        any.
        """
        return float(np.clip(self._values.mean(), self.lo, self.hi)) if self.n else None

    @property
    def log_wealth_pass(self) -> float:
        """Log of the evidence, at the stop, against the claim's opposite; PASS at log(1 / alpha). Infinite when
        certain.
        """
        return self._log_pass

    @property
    def log_wealth_fail(self) -> float:
        """Log of the evidence, at the stop, against the claim; FAIL at log(1 / alpha). Infinite when certain."""
        return self._log_fail

    @property
    def p_pass(self) -> float:
        """Anytime-valid p-value of "the claim is false": 1 / the largest wealth so far."""
        return exp(-self._highest_pass)

    @property
    def p_fail(self) -> float:
        """Anytime-valid p-value of "the claim is true": 1 / the largest wealth so far."""
        return exp(-self._highest_fail)

    @property
    def interval(self) -> tuple[float, float]:
        """The confidence sequence where the gate stands, valid under any stopping rule.

        The end that the claim must clear has error level ``pass_``, the other one ``fail``, so the interval agrees with
        the decision: for "higher", PASS iff lower end > threshold and FAIL iff upper end < threshold. (A finite list
        whose mean equals the threshold passes with that end equal to it.)
        """
        if self._interval is None or self._interval[0] != self.n:
            self._interval = (self.n, self._scan())
        return self._interval[1]

    def needed(self) -> int | None:
        """Clusters in all that a decision would probably need if the values go on as so far.

        None when the gate has decided, has seen nothing, or no number would do (the estimate is too close to the
        threshold). For a finite list at most its length.
        """
        if self._outcome is not Outcome.INCONCLUSIVE or self.n == 0:
            return None
        x = self._scaled(self._values)
        if self._sum / self.n >= self._tau:
            return draws_needed(x, self._wealth_pass, self._tau, self.levels.pass_, self.population)
        return draws_needed(1.0 - x, self._wealth_fail, 1.0 - self._tau, self.levels.fail, self.population)

    def least(self, value: float | None = None) -> int | None:
        """Clusters after which the claim would PASS if each of them had this value, by default the best there is: fewer
        cannot do. None if no number would.
        """
        best = self.hi if self.direction == "higher" else self.lo
        x = float(self._scaled(np.array([best if value is None else value]))[0])
        return least_draws(x, self._tau, self.levels.pass_, self.population)

    def state(self) -> dict[str, Any]:
        """All that is needed to go on later, as builtins; a resumed gate equals one run bit for bit."""
        return {
            "version": _STATE_VERSION,
            "threshold": self.threshold,
            "lo": self.lo,
            "hi": self.hi,
            "direction": self.direction,
            "levels": {"pass_": self.levels.pass_, "fail": self.levels.fail, "control": self.levels.control},
            "population": self.population,
            "values": self._values.tolist(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> SequentialGate:
        """The gate that ``state`` describes, by replaying its values; raises ``UsageProblem`` if it is not such a
        state.
        """
        try:
            version = state["version"]
            gate = cls(
                state["threshold"],
                lo=state["lo"],
                hi=state["hi"],
                levels=ErrorLevels(**state["levels"]),
                population=state["population"],
                direction=state["direction"],
            )
            values = state["values"]
        except (KeyError, TypeError) as problem:
            raise UsageProblem(f"not a saved gate: {problem!r} is missing or unknown; start the gate anew") from problem
        if version != _STATE_VERSION:
            raise UsageProblem(
                f"saved gate of version {version!r}; this release reads version {_STATE_VERSION}; start anew"
            )
        gate.update(values)
        return gate

    def _checked(self, values: float | Sequence[float] | ArrayLike) -> Floats:
        raw = np.atleast_1d(np.asarray(values, dtype=np.float64))
        if raw.ndim != 1:
            raise BadMeasurement(
                f"a gate takes one value per cluster, not an array of shape {raw.shape}; pool within clusters first"
            )
        if not np.isfinite(raw).all():
            place = int(np.flatnonzero(~np.isfinite(raw))[0])
            raise NonFiniteMeasurement(
                f"value {place} of this update is {raw[place]}; find out why before deciding anything"
            )
        outside = np.flatnonzero((raw < self.lo) | (raw > self.hi))
        if outside.size:
            place = int(outside[0])
            raise BadMeasurement(
                f"value {place} of this update is {raw[place]}, outside the declared range [{self.lo}, {self.hi}]; "
                "declare the true range of the score"
            )
        if self.population is not None and self.n + raw.size > self.population:
            raise BadMeasurement(
                f"{self.n} + {raw.size} values from a list of {self.population}; each element may be drawn only once"
            )
        return raw

    def _scaled(self, raw: Floats) -> Floats:
        x = (raw - self.lo) / (self.hi - self.lo)
        return 1.0 - x if self.direction == "lower" else x

    def _certainties(self, sums: Floats, drawn: Floats) -> tuple[Flags, Flags]:
        """Where a list's remaining elements, all 0 or all 1, could no longer change on which side its mean lies."""
        if self.population is None:
            never = np.zeros(sums.shape, dtype=np.bool_)
            return never, never
        target = self.population * (self._tau - _ROUNDING)
        return sums >= target, sums + (self.population - drawn) < target

    def _scan(self) -> tuple[float, float]:
        x = self._scaled(self._values)
        low = lower_end(x, self.levels.pass_, self.population)
        high = 1.0 - lower_end(1.0 - x, self.levels.fail, self.population)
        if self.direction == "lower":
            low, high = 1.0 - high, 1.0 - low
        low, high = (self.lo + (self.hi - self.lo) * end for end in (low, high))
        # rounding, and in a finite list an improbable order, must not let the interval contradict the decision
        limit, may_equal = self.threshold, self.population is not None and self._outcome is Outcome.PASS
        if self._outcome is Outcome.INCONCLUSIVE:
            return max(min(low, limit), self.lo), min(max(high, limit), self.hi)
        if (self._outcome is Outcome.PASS) == (self.direction == "higher"):
            low = max(low, limit if may_equal else nextafter(limit, inf))
        else:
            high = min(high, limit if may_equal else nextafter(limit, -inf))
            return max(min(low, high), self.lo), high
        return low, min(max(high, low), self.hi)
