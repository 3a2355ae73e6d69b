"""A measurement of one's own in the profile: its mean, and that on its null input beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..measures import OwnMeasurement
from .figure import Figure, Request
from .measure import ProfiledMeasure

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["profiled"]


def profiled(own: OwnMeasurement) -> ProfiledMeasure:
    """The entry of a measurement made by ``@measurement``: one column."""

    def figures(model: Model, asked: Request) -> Sequence[Figure]:
        clusters = own.clusters(model, asked.seed)
        drawn, trained = clusters.take(0, asked.clusters), own.trained(model, asked.seed)
        if not drawn:
            return [Figure.none(own.name, own.name, "no prompt could be made for it")]
        measured = own.measure(model, drawn, trained=trained)
        note = ""
        details: dict[str, float] = {"version": own.version}
        if own.null is not None:
            null = own.measure_null(model, drawn, seed=asked.seed, trained=trained)
            note = f"null {null.estimate:.3f}"
            details |= {"null": null.estimate}
        return [Figure.of(own.name, own.name, measured, population=clusters.size, note=note, details=details)]

    return ProfiledMeasure(own.name, own.name, figures, own.summary)
