"""``assert_beats_random_weights``: whatever is measured, an untrained model of the same shape does not score it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, isnan
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..controls import TwinScore, random_weights
from ..errors import NonFiniteMeasurement, UsageProblem
from ..measures.own import OwnMeasurement, as_values
from ..stats import BadMeasurement, Budget, ControlResult, ErrorLevels, Measurement, Outcome, Verdict
from .asked import budget_of, levels_of, model_of, seed_of, twins_of
from .asserting import asserted
from .engine import halvings
from .errors import InterpAssertionError
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
    twins: int | None = None,
    margin: float | None = None,
    train: Callable[[Model], Any] | None = None,
    lo: float = -inf,
    hi: float = inf,
    direction: Literal["higher", "lower"] = "higher",
    name: str | None = None,
    check: str = CHECK,
    budget: Budget | str | int | None = None,
    levels: ErrorLevels | None = None,
    seed: int = 0,
) -> Verdict:
    """Claim that ``measure(model)`` is out of reach of random-weights ``twins`` of a ``scheme`` (5 by default; 1, which
    decides nothing, above a billion parameters).

    ``measure`` is called on the model and on every twin, so whatever it trains is trained anew on each; it must use the
    same prompts and seeds every time. (What was trained on the model before, outside of ``measure``, is of no use to a
    twin: compared so, anything passes.) With ``train`` it is called as ``measure(model, train(model))``. It returns a
    Measurement, one value per independent cluster, or a single number; or it is a measurement made by
    ``@measurement``, which is taken on its first 64 prompts (fewer, if the ``budget`` allows fewer clusters; how many
    prompts a function measures is its own affair).

    Values with a range (``lo``, ``hi``, or that of the Measurement) are compared on the logit scale, where the model's
    odds must exceed the prediction for one more twin by a factor of e^0.25; others as they are, with a ``margin`` of 0.
    ``margin`` is on that scale. The comparison is a t-prediction from few twins: approximate, at ``levels.control``. A
    model that does as well as its twins is FAIL only where the margin is large against their spread, else
    INCONCLUSIVE. A single number has no sampling error: only the twins' own spread counts.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL and INCONCLUSIVE, NotApplicable if the model lacks
    a site that ``measure`` reads or its context is too short, UsageProblem for impossible arguments and for a
    ``measure`` that asserts, BadMeasurement for what it must not return, NonFiniteMeasurement for a score that is not
    finite.
    """
    model, levels, seed, twins = model_of(model), levels_of(levels), seed_of(seed), twins_of(twins)
    most = min(CLUSTERS, budget_of(budget).clusters)
    _check(measure, train, margin, direction, lo, hi, check)
    called = _called(measure, name)
    claim = f"{called} is {direction} than that of models of the same shape with random weights ({scheme})"
    settings: dict[str, Any] = {"quantity": called, "scheme": scheme, "seed": seed}

    def scored(subject: Model) -> TwinScore:
        try:
            returned = _measured(measure, subject, train, most, seed)
        except InterpAssertionError as failure:
            if failure.verdict.outcome is Outcome.NOT_APPLICABLE:
                raise
            raise UsageProblem(
                f"{called} asserts, and failed on {subject.id} ({failure.verdict.check}); twins are measured with it "
                "too, so let it return what it measured instead"
            ) from failure
        return as_score(returned, called, lo, hi, direction)

    def scored_alike(twin: Model) -> TwinScore:
        score = scored(twin)
        if score.n != own.n:
            raise UsageProblem(
                f"{called} gives {own.n} values on {model.id} and {score.n} on {twin.id}; measure the same prompts"
            )
        return score

    def each(k: int) -> None:
        report(f"{check} (random-weights twin {k})", model.id, k + 1, k + 1)

    with model.metered() as span, halvings() as halved:
        try:
            own = scored(model)
        except (*LACKING, InterpAssertionError) as problem:
            lacks = problem.verdict.reason if isinstance(problem, InterpAssertionError) else str(problem)
            return conclude(not_applicable(check, model, None, claim, lacks, levels, settings, span.cost), problem)
        compared = random_weights(
            model,
            own,
            scored_alike,
            scheme=scheme,
            n=twins,
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
    if isinstance(returned, Verdict):
        raise BadMeasurement(f"{name} returns a verdict; let it return the number, or the measurement, that was judged")
    values = as_values(returned, name)
    if values.ndim == 0 and not np.isfinite(values):
        raise NonFiniteMeasurement(f"{name} is {float(values)}, which cannot be compared with twins; find out why")
    if values.ndim == 0:
        if not (np.isinf(lo) or np.isinf(hi)):
            raise UsageProblem(
                f"{name} returns a single number, of which no sampling error is known; return one value per cluster, "
                "or leave lo and hi out"
            )
        return TwinScore.identity(float(values), lower=direction == "lower")
    ids = tuple(str(place) for place in range(len(values)))
    return TwinScore.of(Measurement(name, 1, ids, values, lo, hi, "score", direction))


def _measured(measure: Any, subject: Model, train: Callable[[Model], Any] | None, most: int, seed: int) -> Any:
    if isinstance(measure, OwnMeasurement):
        if train is not None:
            raise UsageProblem(f"{measure.name} trains by itself; declare @measurement(..., train=...)")
        clusters = measure.clusters(subject, seed).take(0, most)
        return measure.measure(subject, clusters, trained=measure.trained(subject, seed))
    return measure(subject) if train is None else measure(subject, train(subject))


def _check(measure: Any, train: Any, margin: Any, direction: Any, lo: Any, hi: Any, check: Any) -> None:
    if not callable(measure):
        raise UsageProblem(f"measure={measure!r} must be a function of a model")
    if train is not None and not callable(train):
        raise UsageProblem(f"train={train!r} must be a function of a model")
    for name, value in (("margin", margin), ("lo", lo), ("hi", hi)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or isnan(value)):
            raise UsageProblem(f"{name}={value!r} must be a number")
    if not lo < hi:
        raise UsageProblem(f"the range [{lo}, {hi}] is empty; lo must be below hi")
    if direction not in ("higher", "lower"):
        raise UsageProblem(f"direction={direction!r} must be 'higher' or 'lower'")
    if not isinstance(check, str) or not check.strip():
        raise UsageProblem(f"check={check!r} must be the name of the claim, such as 'mine/copying'")


def _called(measure: Any, name: str | None) -> str:
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise UsageProblem(f"name={name!r} must be a word for what is measured")
    own = measure.name if isinstance(measure, OwnMeasurement) else getattr(measure, "__name__", "measure")
    return name or ("measure" if own == "<lambda>" else str(own))


def _reason(compared: ControlResult) -> str:
    if compared.outcome is Outcome.PASS:
        return ""
    if compared.outcome is Outcome.FAIL:
        return "random weights do as well as the model"
    return f"not decided: {compared.note}" + ("; more twins may decide" if "spread" not in compared.note else "")
