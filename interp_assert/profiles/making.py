"""Measure everything about one model, on the fixed number of clusters of a budget, and tell whoever listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..assertions import NotApplicable
from ..assertions.asked import budget_of, model_of, seed_of
from ..assertions.progress import report
from ..assertions.reasons import LACKING
from ..errors import InterpError, ModelBroken, NonFiniteMeasurement, OutOfMemory, UnprovenAnatomy
from ..measures.drift import metered_together
from ..stats import BadMeasurement, Budget
from .figure import Figure, Profile, Request, not_finite
from .listening import made_known
from .measure import ProfiledMeasure
from .measures import profiled_measures

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["profile", "unmeasured"]

UNUSABLE = (ModelBroken, UnprovenAnatomy, OutOfMemory)
"""what is wrong with the model as a whole, found when it is first measured"""


def profile(
    model: Model,
    *,
    budget: Budget | str | int | None = None,
    seed: int = 0,
    only: Sequence[str] | None = None,
    base: Model | None = None,
) -> Profile:
    """Every measurement of a model with its interval, always on all clusters of the ``budget`` (a list shorter than
    that is measured whole), so that profiles of two models compare pair by pair.

    ``only`` names the measurements, in order; by default all but the costly ones. ``base`` is what drift is measured
    against. Nothing is decided: a figure that the model has no use for is blank and says why; one that is not finite is
    ``broken``, and so are all of a model that cannot be taken apart or gives nothing but NaN.

    Raises UsageProblem for impossible arguments and unknown measurements.
    """
    model, allowed, seed = model_of(model), budget_of(budget), seed_of(seed)
    asked = Request(allowed.clusters, seed, None if base is None else model_of(base))
    figures: list[Figure] = []
    costs = {}
    for measure in profiled_measures(only, base=asked.base is not None):
        report(f"profile: {measure.name}", model.id, 0, allowed.clusters)
        other = asked.base if measure.needs_base else None
        with metered_together(model, other or model) as spent:
            found = _measured(measure, model, asked)
        figures += [figure if figure.about else replace(figure, about=measure.about) for figure in found]
        costs[measure.name] = spent()
    base_id = None if asked.base is None else asked.base.id
    made = Profile(model.id, tuple(figures), allowed.clusters, seed, costs, base_id)
    made_known(made)
    return made


def unmeasured(
    id: str,
    problem: InterpError,
    *,
    budget: Budget | str | int | None,
    seed: int,
    only: Sequence[str] | None,
    base: bool,
) -> Profile:
    """The row of a model that could not be opened: every figure is ``broken``, for that reason."""
    figures = [
        Figure.none(measure.name, measure.quantity, str(problem), broken=True)
        for measure in profiled_measures(only, base=base)
    ]
    return Profile(id, tuple(figures), budget_of(budget).clusters, seed, {})


def _measured(measure: ProfiledMeasure, model: Model, asked: Request) -> Sequence[Figure]:
    try:
        return measure.figures(model, asked)
    except NotApplicable as problem:
        return [Figure.none(measure.name, measure.quantity, problem.verdict.reason)]
    except LACKING as problem:
        return [Figure.none(measure.name, measure.quantity, str(problem))]
    except NonFiniteMeasurement as problem:
        return [not_finite(measure.name, measure.quantity, problem)]
    except (*UNUSABLE, BadMeasurement) as problem:
        return [Figure.none(measure.name, measure.quantity, str(problem), broken=True)]
