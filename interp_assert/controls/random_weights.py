"""Random-weights twins: could an untrained model of the same shape have scored this (METHODS: C1)?

Approximate, and labelled so: a t-prediction from a few twins. Model and twins are measured on the same fixed prompts,
never at the point where a sequential claim happened to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelBroken, NonFiniteMeasurement, UsageProblem
from ..stats import ControlResult, Outcome, TwinComparison, compare_with_twins
from .twin_score import TwinScore

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["random_weights"]


def random_weights(
    model: Model,
    own: TwinScore,
    measure: Callable[[Model], TwinScore],
    *,
    scheme: str = "resample",
    n: int | None = None,
    seed: int = 0,
    level: float = 0.01,
    fail_level: float | None = None,
    margin: float | None = None,
    each: Callable[[int], None] | None = None,
) -> ControlResult:
    """Compare the model's own score with that of its twins, on the scale of the score.

    ``measure`` does on a twin what was done on the model: same prompts, same code, and whatever was trained on the
    model is trained anew. ``margin`` is on the scale; by default the scale's own. ``each(k)`` is called after twin k. A
    single twin is advisory (``required=False``): it shows no spread. A twin that is broken or has scores that are not
    finite leaves the control INCONCLUSIVE and is named, and so do scores without any spread and error. Estimate and
    threshold are values; ``details`` hold scheme, seed, the value of each twin and the comparison on its own scale.

    Raises UsageProblem for an unknown scheme, fewer than one twin, a negative margin or a twin's score on another
    scale.
    """
    from ..models.twins import twins

    scores: list[TwinScore] = []
    broken = ""
    try:
        for k, twin in enumerate(twins(model, scheme=scheme, n=n, seed=seed)):
            scores.append(measure(twin))
            if each is not None:
                each(k)
    except (ModelBroken, NonFiniteMeasurement) as problem:
        broken = f"twin {len(scores)} cannot be measured: {problem}"
    details: dict[str, Any] = {
        "scheme": scheme,
        "seed": seed,
        "twins": len(scores),
        "scale": own.scale.name,
        "model_score": own.value,
        "twin_scores": [score.value for score in scores],
        "clusters": own.n,
        **({} if own.trials is None else {"trials": own.trials}),
    }
    compared = (
        None if broken else _compared(own, scores, own.scale.margin if margin is None else margin, level, fail_level)
    )
    if compared is None:
        alike = "a single number of a single twin" if len(scores) == 1 else "scores that are the same on every twin"
        reason = broken or f"{alike} shows no spread; a value for each cluster would"
        return ControlResult(
            "random_weights", Outcome.INCONCLUSIVE, own.value, None, None, own.n, True, True, reason, details
        )
    details["compared"] = {
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
        threshold=own.scale.back(max(compared.bound, compared.best_twin)),
        n=own.n,
        approximate=True,
        required=not compared.advisory,
        note=_note(scheme, scores, compared),
        details=details,
    )


def _compared(
    own: TwinScore, scores: Sequence[TwinScore], margin: float, level: float, fail_level: float | None
) -> TwinComparison | None:
    """The comparison on the scale; None where nothing shows how far scores spread."""
    other = next((score.scale for score in scores if score.scale != own.scale), None)
    if other is not None:
        raise UsageProblem(
            f"the model's score is on the scale {own.scale.name}, a twin's on {other.name}; measure both alike"
        )
    scaled = [score.scaled for score in scores]
    # under the null the model is one more twin, so its sampling error is theirs
    error = max(score.error for score in scores) or float(np.std(scaled, ddof=1 if len(scaled) > 1 else 0))
    if error == 0.0:
        return None
    return compare_with_twins(
        own.scaled, scaled, sampling_error=error, margin=margin, level=level, fail_level=fail_level
    )


def _note(scheme: str, scores: Sequence[TwinScore], compared: TwinComparison) -> str:
    shown = ", ".join(f"{score.value:.3f}" for score in scores)
    if compared.advisory:
        return f"one {scheme} twin scores {shown}: advisory, a single twin shows no spread"
    scale = scores[0].scale.name
    return f"{len(scores)} {scheme} twins score {shown}; t-prediction, scale {scale}"
