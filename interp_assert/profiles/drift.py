"""Drift in the profile: how far the model has moved from its base, at the output, in the last residual stream and in
its weights. All on the documents that a claim about drift would read; the three share their forward passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..assertions.drift import DEFAULTS
from ..assertions.drift.readings import Readings, readings_of
from ..measures import DriftScores
from ..stats import ratio_interval
from .figure import LEVEL, Figure, Request
from .measure import ProfiledMeasure

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["OUTPUT", "RESIDUAL", "WEIGHTS"]


def output(model: Model, asked: Request) -> Sequence[Figure]:
    """Total variation between the next-token distributions, beside it KL and the agreement of the top tokens."""
    readings, scores = _read(model, asked)
    if scores is None:
        return [Figure.none(OUTPUT.name, OUTPUT.quantity, str(readings.missing))]
    told = {name: float(getattr(scores, name).estimate) for name in ("total_variation", "kl", "agreement")}
    return [
        Figure.of(
            OUTPUT.name,
            OUTPUT.quantity,
            scores.total_variation,
            population=readings.population,
            note=f"KL {told['kl']:.3g} nats, same top token {told['agreement']:.3f}",
            details={**told, "documents": scores.n, "positions": scores.positions},
        )
    ]


def residual(model: Model, asked: Request) -> Sequence[Figure]:
    """E||x' - x|| / E||x|| of the stream after the last block; the note names the block where it is largest."""
    readings, scores = _read(model, asked)
    if scores is None or scores.residual is None:
        reason = readings.missing if scores is None else scores.no_residual
        return [Figure.none(RESIDUAL.name, RESIDUAL.quantity, str(reason))]
    found = scores.residual
    relative = found.relative
    most = int(np.nanargmax(relative))
    where = "the embedding" if most == 0 else f"block {most}"
    return [
        Figure(
            measure=RESIDUAL.name,
            quantity=RESIDUAL.quantity,
            value=float(relative[-1]),
            interval=ratio_interval(found.moved[:, -1], found.size[:, -1], level=1.0 - LEVEL),
            n=scores.n,
            unit="relative norm",
            note=f"at most {relative[most]:.3g}, {where}",
            approximate=True,
            details={
                "by_block": [float(value) for value in relative],
                "cosine": [float(value) for value in found.cosine.mean(0)],
                "cka": [float(value) if np.isfinite(value) else None for value in found.cka],
            },
        )
    ]


def weights(model: Model, asked: Request) -> Sequence[Figure]:
    """The relative Frobenius distance of all weights: no sample, so without an interval."""
    found = readings_of(model, _base(asked), None, DEFAULTS.length, asked.seed).weight_drift(model, _base(asked))
    if isinstance(found, str):
        return [Figure.none(WEIGHTS.name, WEIGHTS.quantity, found)]
    by_block = [float(value) if np.isfinite(value) else None for value in found.blocks]
    return [
        Figure(WEIGHTS.name, WEIGHTS.quantity, found.whole, None, 1, "relative norm", details={"by_block": by_block})
    ]


def _read(model: Model, asked: Request) -> tuple[Readings, DriftScores | None]:
    readings = readings_of(model, _base(asked), None, DEFAULTS.length, asked.seed)
    scores = None if readings.missing is not None else readings.upto(model, _base(asked), asked.clusters)
    return readings, scores


def _base(asked: Request) -> Model:
    assert asked.base is not None  # profiled_measures leaves drift out where there is none
    return asked.base


OUTPUT = ProfiledMeasure(
    "drift/output",
    "output drift",
    output,
    "total variation between its next-token distributions and those of the base",
    needs_base=True,
)
RESIDUAL = ProfiledMeasure(
    "drift/residual",
    "residual drift",
    residual,
    "how far the last block's output moved from that of the base, relative to its norm",
    needs_base=True,
)
WEIGHTS = ProfiledMeasure(
    "drift/weights", "weight drift", weights, "how far the weights moved, relative to their norm", needs_base=True
)
