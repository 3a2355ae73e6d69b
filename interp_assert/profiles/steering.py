"""Steering in the profile: by how much a class difference, added to the stream, tips the next word.

The mean slope and not the share of prompts that follow: a direction that hardly moves an untrained model often moves
all prompts the same way, so that the share is 0 or 1 by chance. As in the suite ``controls`` the direction is added
after three quarters of the blocks, by which the lens claim wants facts to stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from ..assertions.lens_crossover import DEFAULTS as LENS
from ..assertions.steers_run import CHECK, steer
from ..prompts import continents
from .figure import Figure, Request
from .measure import ProfiledMeasure

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["MEASURE"]

TARGET = ("Europe", "Asia")


def figures(model: Model, asked: Request) -> Sequence[Figure]:
    """One figure; blank, with the reason, where the model does not know the words."""
    layer = ceil(LENS.depth * int(model.anatomy.n_blocks))
    run = steer(model, continents(), TARGET, layer=layer, at_most=asked.clusters, seed=asked.seed)
    if isinstance(run, str):
        return [Figure.none(CHECK, MEASURE.quantity, run)]
    told, followed = run.details(), run.steerable(0.0).estimate
    kept = ("slope", "slope_quartiles", "anti_steerable", "by_dose", "norm_to_stream", "prompts", "texts")
    return [
        Figure.of(
            CHECK,
            MEASURE.quantity,
            run.measured(),
            population=len(run.prompts.clusters),
            note=f"{followed:.0%} of prompts",
            details={"layer": layer, "steerable": followed, **{name: told[name] for name in kept}},
        )
    ]


MEASURE = ProfiledMeasure(
    CHECK,
    "steering",
    figures,
    "logits by which prompts tip from Asia to Europe as the difference of the two is added; below it, how many do",
)
