"""Steering in the profile: the share of prompts that a class difference, added to the stream, tips as it should."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from ..assertions.steers_run import CHECK, DEFAULTS, steer
from ..prompts import continents
from .figure import Figure, Request
from .measures import ProfiledMeasure

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["MEASURE"]

TARGET = ("Europe", "Asia")


def figures(model: Model, asked: Request) -> Sequence[Figure]:
    """One figure; blank, with the reason, where the model does not know the words."""
    layer = ceil(DEFAULTS.depth * int(model.anatomy.n_blocks))
    run = steer(model, continents(), TARGET, layer=layer, at_most=asked.clusters, seed=asked.seed)
    if isinstance(run, str):
        return [Figure.none(CHECK, MEASURE.quantity, run)]
    told = run.details()
    kept = ("slope", "slope_quartiles", "anti_steerable", "by_dose", "norm_to_stream", "prompts", "texts")
    return [
        Figure.of(
            CHECK,
            MEASURE.quantity,
            run.steerable(0.0),
            population=len(run.prompts.clusters),
            note=f"{told['slope']:.2f} logits",
            details={"layer": layer, **{name: told[name] for name in kept}},
        )
    ]


MEASURE = ProfiledMeasure(CHECK, "steering", figures)
