"""Tier A: decisions by t-tests, approximate and labelled so, where no exact gate applies.

Two situations: a functional of unbounded per-cluster quantities, linearised per cluster (``ApproximateGate``), and a
model against a handful of random-weight twins (``compare_with_twins``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from .levels import ErrorLevels
from .verdict import Outcome

__all__ = ["LOOKS", "ApproximateGate", "TwinComparison", "compare_with_twins", "logit_count", "per_look"]

LOOKS = (64, 128, 256, 512)
"""cluster counts at which an approximate gate looks"""

_SAFETY = 3.0
"""heavy tails make the t-test's true error up to three times nominal (measured), so it runs at a third"""


class ApproximateGate:
    """Decides whether the mean of linearised values is above 0 (PASS) or below 0 (FAIL), by one-sample t-tests at four
    looks.

    Feed one z per cluster, linearised so that the claim reads E[z] > 0: mean z = x - tau; VE z = (1 - tau) v - r;
    recovery z = (p - c) - tau (k - c); paired non-inferiority z = new - old + delta. It looks at 64, 128, 256 and 512
    clusters only; each look spends a quarter of a third of the error level on each side (Bonferroni; a third because
    the t-test's true error on heavy tails is up to three times nominal). The first decision is final; after the last
    look INCONCLUSIVE is. A look at values without any spread decides nothing: such a sample says nothing about its own
    error.

    ``update`` raises ``NonFiniteMeasurement`` for NaN or infinite values.
    """

    approximate = True

    def __init__(self, *, levels: ErrorLevels | None = None) -> None:
        self.levels = levels if levels is not None else ErrorLevels()
        self._values: NDArray[np.float64] = np.empty(0)
        self._outcome = Outcome.INCONCLUSIVE

    def update(self, values: float | Sequence[float] | ArrayLike) -> Outcome:
        """Take further values, look where a look is due, and return the outcome so far."""
        raw = np.atleast_1d(np.asarray(values, dtype=np.float64)).ravel()
        if not np.isfinite(raw).all():
            place = int(np.flatnonzero(~np.isfinite(raw))[0])
            raise NonFiniteMeasurement(
                f"value {place} of this update is {raw[place]}; find out why before deciding anything"
            )
        if self._outcome is not Outcome.INCONCLUSIVE:
            return self._outcome
        before, everything = self.n, np.concatenate([self._values, raw])
        for look in LOOKS:
            if before < look <= everything.size:
                self._values = everything[:look]
                self._outcome = self._look()
                if self._outcome is not Outcome.INCONCLUSIVE:
                    return self._outcome
        self._values = everything[: LOOKS[-1]]
        return self._outcome

    @property
    def outcome(self) -> Outcome:
        """PASS or FAIL once a look has established it, INCONCLUSIVE until then."""
        return self._outcome

    @property
    def n(self) -> int:
        """Clusters counted, at most those of the last look."""
        return int(self._values.size)

    @property
    def estimate(self) -> float | None:
        """The mean of the counted z; None before any."""
        return float(self._values.mean()) if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        """The t-interval for E[z] at the latest look, at each side's level; unbounded before the first and without
        spread.
        """
        done = [look for look in LOOKS if look <= self.n]
        if not done or np.ptp(self._values[: done[-1]]) == 0.0:
            return -inf, inf
        from scipy.stats import t

        z = self._values[: done[-1]]
        error = float(z.std(ddof=1)) / sqrt(z.size)
        low = float(z.mean()) + error * float(t.ppf(per_look(self.levels.pass_), z.size - 1))
        high = float(z.mean()) - error * float(t.ppf(per_look(self.levels.fail), z.size - 1))
        return low, high

    def needed(self) -> int | None:
        """The look that would probably decide at the present mean and spread; None when decided or when none would."""
        if self._outcome is not Outcome.INCONCLUSIVE or self.n < 2 or np.ptp(self._values) == 0.0:
            return None
        from scipy.stats import t

        mean, spread = float(self._values.mean()), float(self._values.std(ddof=1))
        level = per_look(self.levels.pass_ if mean > 0 else self.levels.fail)
        for look in LOOKS:
            if look > self.n and abs(mean) / spread * sqrt(look) >= -float(t.ppf(level, look - 1)):
                return look
        return None

    def _look(self) -> Outcome:
        from scipy.stats import ttest_1samp

        if np.ptp(self._values) == 0.0:
            return Outcome.INCONCLUSIVE
        if ttest_1samp(self._values, 0.0, alternative="greater").pvalue <= per_look(self.levels.pass_):
            return Outcome.PASS
        if ttest_1samp(self._values, 0.0, alternative="less").pvalue <= per_look(self.levels.fail):
            return Outcome.FAIL
        return Outcome.INCONCLUSIVE


@dataclass(frozen=True)
class TwinComparison:
    """A model's score beside those of its random-weight twins, all on the transformed scale."""

    outcome: Outcome
    score: float
    twin_mean: float
    twin_spread: float
    """standard deviation of the twins, at least the sampling error"""
    bound: float
    """the score must exceed it (and every twin) for PASS: prediction bound of one more twin, plus the margin"""
    best_twin: float
    margin: float
    n_twins: int
    level: float
    fail_bound: float
    """a score below it (and below every twin plus the margin) is FAIL"""
    advisory: bool = False
    """only one twin: the spread between twins is unknown, nothing is decided"""


def compare_with_twins(
    score: float,
    twin_scores: Sequence[float],
    *,
    sampling_error: float,
    margin: float = 0.0,
    level: float = 0.01,
    fail_level: float | None = None,
) -> TwinComparison:
    """Could the model's score be that of one more random-weight twin?

    All on one scale on which twins are roughly normal (proportions: ``logit_count``; VE: -log(1 - VE)), model and twins
    measured on the same fixed clusters. With mean and spread of B twins (spread floored at ``sampling_error``, the
    standard error of one score) and q = t(B - 1, 1 - level) * spread * sqrt(1 + 1 / B):

    * PASS iff score - margin > mean + q, and the score exceeds every twin. A model that is one more draw from the
      twins' distribution passes with probability at most ``level``.
    * FAIL iff score - margin < mean - q, and score - margin is below every twin. A model that truly is better than a
      twin by the margin (a draw from the twins' distribution, plus the margin or more) fails with probability at most
      ``level``. So a model that does as well as its twins fails if the margin is large against their spread; with
      margin 0 only one that does worse fails, and "as well" stays INCONCLUSIVE: no number of twins can establish an
      advantage of exactly zero. ``fail_level`` is its own level, if it is not the same.
    * otherwise INCONCLUSIVE.

    The rates are exact for normal twins and independent sampling errors; simulated at nominal .01 with five twins:
    normal .010, Gumbel .027, lognormal .066, hence the transformation. A single twin shows no spread: the comparison is
    advisory, its bound uses the sampling error alone and its outcome is INCONCLUSIVE.

    Source: prediction interval for one future observation from a normal sample (Hahn & Meeker). Raises
    ``NonFiniteMeasurement`` for NaN or infinite scores, ``UsageProblem`` without twins, for a sampling error that is
    not positive, a negative margin or a level outside (0, 0.5).
    """
    twins = np.asarray(twin_scores, dtype=np.float64).ravel()
    if twins.size == 0:
        raise UsageProblem("no twin scores to compare with; measure at least one twin, five to decide")
    if not (isfinite(score) and np.isfinite(twins).all()):
        raise NonFiniteMeasurement(
            f"score {score} and twin scores {twins.tolist()} must be finite; use logit_count for proportions"
        )
    if not (isfinite(sampling_error) and sampling_error > 0.0):
        raise UsageProblem(
            f"sampling_error={sampling_error} must be positive: without a floor identical twins would look certain"
        )
    if not (isfinite(margin) and margin >= 0.0):
        raise UsageProblem(f"margin={margin} must be 0 or more, on the scale of the scores")
    fail_level = level if fail_level is None else fail_level
    for each in (level, fail_level):
        if not 0.0 < each < 0.5:
            raise UsageProblem(f"level={each} must lie above 0 and below 0.5; 0.01 is usual")
    from scipy.stats import norm, t

    count, mean, score = int(twins.size), float(twins.mean()), float(score)
    alone = count == 1
    spread = float(sampling_error) if alone else max(float(twins.std(ddof=1)), float(sampling_error))
    reach, fail_reach = (
        float(norm.ppf(1.0 - each) if alone else t.ppf(1.0 - each, count - 1)) * spread * sqrt(1.0 + 1.0 / count)
        for each in (level, fail_level)
    )
    bound, fail_bound = mean + reach + margin, mean - fail_reach + margin
    outcome = Outcome.INCONCLUSIVE
    if not alone and score > bound and score > twins.max():
        outcome = Outcome.PASS
    elif not alone and score < fail_bound and score - margin < twins.min():
        outcome = Outcome.FAIL
    return TwinComparison(
        outcome=outcome,
        score=score,
        twin_mean=mean,
        twin_spread=spread,
        bound=bound,
        best_twin=float(twins.max()),
        margin=float(margin),
        n_twins=count,
        level=float(level),
        fail_bound=fail_bound,
        advisory=alone,
    )


def logit_count(k: float, n: float) -> tuple[float, float]:
    """The logit of (k + 1/2) / (n + 1), finite also for k = 0 and k = n, and its sampling error.

    ``k`` hits among ``n`` independent trials (a sum of fractional scores is allowed: its error is then at most this).
    Source: Haldane-Anscombe (1956), error sqrt(1 / (k + 1/2) + 1 / (n - k + 1/2)). Raises ``UsageProblem`` unless 0 <=
    k <= n and n > 0.
    """
    if not (isfinite(k) and isfinite(n) and n > 0 and 0 <= k <= n):
        raise UsageProblem(f"logit_count needs 0 <= k <= n and n > 0, not k={k}, n={n}")
    hits, misses = float(k) + 0.5, float(n - k) + 0.5
    return log(hits / misses), sqrt(1.0 / hits + 1.0 / misses)


def per_look(level: float) -> float:
    """What one look of an approximate gate may spend of an error level."""
    return level / _SAFETY / len(LOOKS)
