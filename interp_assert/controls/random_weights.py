"""Random-weights twins: could an untrained model of the same shape have scored this (METHODS: C1)?

Approximate, and labelled so: a t-prediction from a few twins. Model and twins are measured on the same fixed prompts,
never at the point where a sequential claim happened to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelBroken, NonFiniteMeasurement
from ..stats import ControlResult, Outcome, TwinComparison, compare_with_twins, logit_count

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["TWIN_MARGIN", "Share", "random_weights"]

TWIN_MARGIN = 0.25
"""on the logit scale: the model's odds must exceed the prediction for a twin by a factor of e^0.25 = 1.28"""


@dataclass(frozen=True)
class Share:
    """A share of hits among scored trials that come in clusters.

    Attributes:
        hits: number of hits, summed over all clusters.
        trials: number of scored trials in all.
        by_cluster: each cluster's own share.
    """

    hits: float
    trials: int
    by_cluster: NDArray[np.float64]

    @property
    def value(self) -> float:
        """Hits per trial."""
        return self.hits / self.trials

    def on_logit_scale(self) -> tuple[float, float]:
        """logit((hits + 1/2) / (trials + 1)) and its standard error: that of independent trials, or of clusters if
        greater.
        """
        score, error = logit_count(min(max(self.hits, 0.0), float(self.trials)), self.trials)
        n = len(self.by_cluster)
        p = (self.hits + 0.5) / (self.trials + 1)
        between = float(self.by_cluster.std(ddof=1)) / sqrt(n) / (p * (1 - p)) if n > 1 else 0.0
        return score, max(error, between)


def random_weights(
    model: Model,
    own: Share,
    measure: Callable[[Model], Share],
    *,
    scheme: str = "resample",
    n: int | None = None,
    seed: int = 0,
    level: float = 0.01,
    margin: float = TWIN_MARGIN,
    each: Callable[[int], None] | None = None,
) -> ControlResult:
    """Compare the model's own share with that of its twins, on the logit scale.

    ``measure`` runs the same prompts on a twin; ``each(k)`` is called after twin k. A single twin is advisory
    (``required=False``): it shows no spread. A twin whose logits are not finite leaves the control INCONCLUSIVE and is
    named. Estimate and threshold are shares; ``details`` hold the comparison on its own scale, scheme, seed and scores.

    Raises UsageProblem for an unknown scheme or fewer than one twin.
    """
    from ..models.twins import twins

    shares: list[Share] = []
    broken = ""
    try:
        for k, twin in enumerate(twins(model, scheme=scheme, n=n, seed=seed)):
            shares.append(measure(twin))
            if each is not None:
                each(k)
    except (ModelBroken, NonFiniteMeasurement) as problem:
        broken = f"twin {len(shares)} cannot be measured: {problem}"
    details: dict[str, Any] = {
        "scheme": scheme,
        "seed": seed,
        "twins": len(shares),
        "model_score": own.value,
        "twin_scores": [share.value for share in shares],
        "trials": own.trials,
        "clusters": len(own.by_cluster),
    }
    n_clusters = len(own.by_cluster)
    if broken or not shares:
        return ControlResult(
            "random_weights", Outcome.INCONCLUSIVE, own.value, None, None, n_clusters, True, True, broken, details
        )
    scaled = [share.on_logit_scale() for share in shares]
    score, _ = own.on_logit_scale()
    # under the null the model is one more twin, so its sampling error is theirs
    compared = compare_with_twins(
        score,
        [value for value, _ in scaled],
        sampling_error=max(error for _, error in scaled),
        margin=margin,
        level=level,
    )
    details["logit"] = {
        "score": compared.score,
        "bound": compared.bound,
        "twin_mean": compared.twin_mean,
        "twin_spread": compared.twin_spread,
        "margin": compared.margin,
        "level": compared.level,
    }
    return ControlResult(
        name="random_weights",
        outcome=compared.outcome,
        estimate=own.value,
        interval=None,
        threshold=_share_of(max(compared.bound, compared.best_twin)),
        n=n_clusters,
        approximate=True,
        required=not compared.advisory,
        note=_note(scheme, shares, compared),
        details=details,
    )


def _share_of(logit: float) -> float:
    return 1.0 / (1.0 + float(np.exp(-np.clip(logit, -700, 700))))


def _note(scheme: str, shares: list[Share], compared: TwinComparison) -> str:
    scores = ", ".join(f"{share.value:.3f}" for share in shares)
    if compared.advisory:
        return f"one {scheme} twin scores {scores}: advisory, a single twin shows no spread"
    return f"{len(shares)} {scheme} twins score {scores}; t-prediction on the logit scale"
