"""``assert_beats_random_weights``: whatever is measured, an untrained model of the same shape does not score it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..controls import TwinScore, random_weights
from ..errors import UsageProblem
from ..measures.own import OwnMeasurement, as_values
from ..stats import ControlResult, ErrorLevels, Measurement, Outcome, Verdict
from .asked import levels_of, model_of, seed_of, twins_of
from .asserting import asserted
from .engine import halvings
from .progress import report
from .reasons import LACKING, not_applicable
from .recording import conclude

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CHECK", "assert_beats_random_weights"]

CHECK = "controls/random_weights"

CLUSTERS = 64
"""prompts on which a measurement made by ``@measurement`` is compared"""

Returned = float | Measurement | TwinScore | np.ndarray | list[float]


@asserted
def assert_beats_random_weights(
    measure: Callable[..., Returned] | OwnMeasurement,
    model: Model,
    *,
    scheme: str = "resample",
    n: int | None = None,
    margin: float | None = None,
    train: Callable[[Model], Any] | None = None,
    lo: float = -inf,
    hi: float = inf,
    direction: Literal["higher", "lower"] = "higher",
    name: str | None = None,
    check: str = CHECK,
    levels: ErrorLevels | None = None,
    seed: int = 0,
) -> Verdict:
    """Claim that ``measure(model)`` is out of reach of ``n`` random-weights twins (5 by default; 1, which decides
    nothing, above a billion parameters).

    ``measure`` is called on the model and on every twin, so whatever it trains is trained anew on each; it must use the
    same prompts and seeds every time. With ``train`` it is called as ``measure(model, train(model))``. It returns a
    Measurement, one value per independent cluster, or a single number; or it is a measurement made by
    ``@measurement``, which is taken on its first 64 prompts.

    Values with a range (``lo``, ``hi``, or that of the Measurement) are compared on the logit scale, where the model's
    odds must exceed the prediction for one more twin by a factor of e^0.25; others as they are, with a ``margin`` of 0.
    ``margin`` is on that scale. The comparison is a t-prediction from few twins: approximate, at ``levels.control``. A
    model that does as well as its twins is FAIL only where the margin is large against their spread, else
    INCONCLUSIVE. A single number has no sampling error: only the twins' own spread counts.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE, NotApplicable if the model lacks
    a site that ``measure`` reads or its context is too short, UsageProblem for impossible arguments,
    NonFiniteMeasurement for a score that is not finite.
    """
    model, levels, seed, n = model_of(model), levels_of(levels), seed_of(seed), twins_of(n)
    if not callable(measure):
        raise UsageProblem(f"measure={measure!r} must be a function of a model")
    own_name = measure.name if isinstance(measure, OwnMeasurement) else getattr(measure, "__name__", "measure")
    called = name or str(own_name)
    claim = f"{called} is {direction} than that of models of the same shape with random weights ({scheme})"
    settings: dict[str, Any] = {"quantity": called, "scheme": scheme, "seed": seed}

    def scored(subject: Model) -> TwinScore:
        returned = _measured(measure, subject, train, seed)
        return as_score(returned, called, lo, hi, direction)

    def each(k: int) -> None:
        report(f"{check} (random-weights twin {k})", model.id, k + 1, k + 1)

    with model.metered() as span, halvings() as halved:
        try:
            own = scored(model)
        except LACKING as problem:
            verdict = not_applicable(check, model, None, claim, str(problem), levels, settings, span.cost)
            return conclude(verdict, problem)
        compared = random_weights(
            model,
            own,
            scored,
            scheme=scheme,
            n=n,
            seed=seed,
            level=levels.control,
            fail_level=levels.control_fail,
            margin=margin,
            each=each,
        )
    # here the comparison is the claim: a single twin decides nothing, and that is not to be overlooked
    compared = replace(compared, required=True)
    return conclude(
        Verdict(
            check=check,
            outcome=compared.outcome,
            model=model.id,
            layer=None,
            claim=claim,
            estimate=compared.estimate,
            interval=None,
            n=compared.n,
            threshold=compared.threshold,
            direction=direction,
            levels=levels,
            controls=(compared,),
            details=settings | {"batch_halvings": halved, "approximate": True},
            cost=span.cost,
            reason=_reason(compared),
            claim_outcome=compared.outcome,
        )
    )


def as_score(
    returned: Any, name: str, lo: float, hi: float, direction: Literal["higher", "lower"] = "higher"
) -> TwinScore:
    """What a measuring function may return, on the scale on which twins are compared.

    Raises BadMeasurement for something else, or for values out of range.
    """
    if isinstance(returned, TwinScore):
        return returned
    if isinstance(returned, Measurement):
        return TwinScore.of(returned)
    values = as_values(returned, name)
    if values.ndim == 0:
        if not (np.isinf(lo) or np.isinf(hi)):
            raise UsageProblem(
                f"{name} returns a single number, of which no sampling error is known; return one value per cluster, "
                "or leave lo and hi out"
            )
        return TwinScore.identity(float(values), lower=direction == "lower")
    ids = tuple(str(place) for place in range(len(values)))
    return TwinScore.of(Measurement(name, 1, ids, values, lo, hi, "score", direction))


def _measured(measure: Any, subject: Model, train: Callable[[Model], Any] | None, seed: int) -> Any:
    if isinstance(measure, OwnMeasurement):
        if train is not None:
            raise UsageProblem(f"{measure.name} trains by itself; declare @measurement(..., train=...)")
        clusters = measure.clusters(subject, seed).take(0, CLUSTERS)
        return measure.measure(subject, clusters, trained=measure.trained(subject, seed))
    return measure(subject) if train is None else measure(subject, train(subject))


def _reason(compared: ControlResult) -> str:
    if compared.outcome is Outcome.PASS:
        return ""
    if compared.outcome is Outcome.FAIL:
        return "random weights do as well as the model"
    return f"not decided: {compared.note}" + ("; more twins may decide" if "spread" not in compared.note else "")
