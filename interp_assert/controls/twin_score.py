"""One scalar statistic of a model or of a twin, on a scale on which twins are roughly normal, with its sampling error.

A t-prediction from a few twins needs such a scale (METHODS: C1): logits for proportions and AUROC, -log(1 - VE) for
variance explained, the value itself for what has no bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, isinf, log, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from ..stats import Measurement, logit_count

__all__ = ["LEAST_UNEXPLAINED", "TWIN_MARGIN", "TwinScale", "TwinScore"]

TWIN_MARGIN = 0.25
"""on the scale of the comparison: the model's odds must exceed the prediction for a twin by a factor of e^0.25 = 1.28;
what it leaves unexplained must be smaller by that factor"""

LEAST_UNEXPLAINED = 1e-12
"""share of the variance below which a reconstruction in float32 cannot tell itself from a perfect one"""


@dataclass(frozen=True)
class TwinScale:
    """How a value, as people read it, is transformed for the comparison with twins.

    ``logit`` is log((x - lo) / (hi - x)); ``log_unexplained`` is -log(1 - x); ``lower`` turns the sign, so that on the
    scale more is better.
    """

    kind: Literal["identity", "logit", "log_unexplained"] = "identity"
    lo: float = 0.0
    hi: float = 1.0
    lower: bool = False

    @property
    def name(self) -> str:
        """What the control calls it: ``logit``, ``-log(1 - x)``, ``logit on [-1, 1], lower is better``."""
        shown = {"identity": "identity", "logit": "logit", "log_unexplained": "-log(1 - x)"}[self.kind]
        if self.kind == "logit" and (self.lo, self.hi) != (0.0, 1.0):
            shown += f" on [{self.lo:g}, {self.hi:g}]"
        return shown + (", lower is better" if self.lower else "")

    @property
    def margin(self) -> float:
        """By how much a model has to exceed its twins if nothing else is said; 0 where the scale has the value's unit,
        of which nothing is known here.
        """
        return 0.0 if self.kind == "identity" else TWIN_MARGIN

    def back(self, scaled: float) -> float:
        """The value that stands at ``scaled``."""
        at = -scaled if self.lower else scaled
        if self.kind == "logit":
            return self.lo + (self.hi - self.lo) / (1.0 + exp(-min(max(at, -700.0), 700.0)))
        return 1.0 - exp(-max(at, -700.0)) if self.kind == "log_unexplained" else at


@dataclass(frozen=True)
class TwinScore:
    """A statistic, ready to be compared with that of random-weights twins; made by one of the constructors.

    Attributes:
        value: as people read it.
        scaled: on ``scale``; more is better.
        error: standard error of ``scaled``; 0 where none is known, and then only the twins' spread counts.
        n: clusters behind it.
        scale: what takes ``value`` to ``scaled``.
        trials: scored trials in all, where clusters hold several.
    """

    value: float
    scaled: float
    error: float
    n: int
    scale: TwinScale = TwinScale()
    trials: int | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.value) and isfinite(self.scaled) and isfinite(self.error)):
            raise NonFiniteMeasurement(
                f"a score of {self.value} ({self.scaled} with error {self.error} on the scale {self.scale.name}) "
                "cannot be compared with twins; find out why it is not finite"
            )
        if self.error < 0.0 or self.n < 1:
            raise UsageProblem(f"a twin score needs an error of 0 or more and a cluster, not {self.error} and {self.n}")

    @classmethod
    def identity(cls, value: float, *, error: float = 0.0, n: int = 1, lower: bool = False) -> TwinScore:
        """A number without bounds, compared as it is."""
        return cls(float(value), float(-value if lower else value), float(error), n, TwinScale(lower=lower))

    @classmethod
    def proportion(cls, hits: float, trials: int, by_cluster: ArrayLike) -> TwinScore:
        """A share of hits among trials that come in clusters: logit((hits + 1/2) / (trials + 1)).

        ``by_cluster`` (n,) is each cluster's own share. The error is that of independent trials, or of clusters if
        greater.
        """
        shares = np.asarray(by_cluster, dtype=np.float64)
        scaled, error = logit_count(min(max(hits, 0.0), float(trials)), trials)
        p = (hits + 0.5) / (trials + 1)
        error = max(error, _error(shares) / (p * (1 - p)))
        return cls(hits / trials, scaled, error, shares.size, TwinScale("logit"), trials)

    @classmethod
    def auroc(cls, value: float, *, error: float, positives: int, negatives: int) -> TwinScore:
        """An area under the ROC curve with its standard error (DeLong): logit((A m + 1/2) / (m + 1)).

        m is the number of disjoint positive/negative pairs, that of the smaller class. Where the classes are perfectly
        separated DeLong's error is 0; that of m independent pairs stands in for it.
        """
        pairs = min(positives, negatives)
        if not 0.0 <= value <= 1.0 or pairs < 1:
            raise UsageProblem(f"an AUROC lies in [0, 1] and needs both classes, not {value}, {positives}, {negatives}")
        scaled, of_pairs = logit_count(value * pairs, pairs)
        shrunk = (value * pairs + 0.5) / (pairs + 1)
        own = error / (shrunk * (1.0 - shrunk)) if error > 0.0 else of_pairs
        return cls(float(value), scaled, own, positives + negatives, TwinScale("logit"))

    @classmethod
    def variance_explained(cls, residual: ArrayLike, total: ArrayLike) -> TwinScore:
        """1 - sum(residual) / sum(total), one squared sum per document in each: -log(1 - VE), error by the delta
        method over documents.
        """
        left, whole = np.asarray(residual, dtype=np.float64), np.asarray(total, dtype=np.float64)
        if left.shape != whole.shape or left.ndim != 1 or left.size == 0 or not whole.sum() > 0.0:
            raise UsageProblem(
                f"variance explained needs one residual and one total per document and some variance, not shapes "
                f"{left.shape} and {whole.shape} with a total of {whole.sum()}"
            )
        unexplained = float(left.sum() / whole.sum())
        error = _error(left / left.mean() - whole / whole.mean()) if unexplained > 0.0 else 0.0
        scaled = -log(max(unexplained, LEAST_UNEXPLAINED))
        return cls(1.0 - unexplained, scaled, error, left.size, TwinScale("log_unexplained"))

    @classmethod
    def of(cls, measured: Measurement) -> TwinScore:
        """A measurement's estimate: on the logit scale of its range if that is bounded, else as it is.

        ``direction="lower"`` turns the scale. The error is that of clusters. Of values that all lie at an end of their
        range it is that of as many independent trials, so that a score of 0 on every cluster is not taken for certain;
        ``details["trials"]`` of the measurement says how many trials a cluster's value is the share of, 1 without it.
        """
        lower, values = measured.direction == "lower", measured.values
        if isinf(measured.lo) or isinf(measured.hi):
            return cls.identity(measured.estimate, error=_error(values), n=measured.n, lower=lower)
        shares = (values - measured.lo) / (measured.hi - measured.lo)
        trials = measured.n * int(measured.details.get("trials", 1))
        hits = min(max(float(shares.mean()) * trials, 0.0), float(trials))
        scaled, of_trials = logit_count(hits, trials)
        p = (hits + 0.5) / (trials + 1)
        error = of_trials if np.isin(shares, (0.0, 1.0)).all() else _error(shares) / (p * (1.0 - p))
        scale = TwinScale("logit", measured.lo, measured.hi, lower)
        return cls(measured.estimate, -scaled if lower else scaled, error, measured.n, scale, trials)


def _error(values: NDArray[np.float64]) -> float:
    """Standard error of the mean of independent values (n,); 0 for a single one."""
    return float(values.std(ddof=1)) / sqrt(values.size) if values.size > 1 else 0.0
