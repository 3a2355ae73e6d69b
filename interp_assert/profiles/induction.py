"""Induction in the profile: accuracy on the second copy, beside what the in-context chance is and the best head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..assertions.engine import batch_sizes
from ..assertions.induction import CHECK, DEFAULTS
from ..assertions.induction_report import measured_details
from ..assertions.reasons import sees_the_future
from ..measures import InductionScores, measure_induction
from ..measures.induction import check_fits
from ..prompts import RepeatedTokenStream, token_pool
from .figure import Figure, Request
from .measure import ProfiledMeasure

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["MEASURE"]


def figures(model: Model, asked: Request) -> Sequence[Figure]:
    """One figure, measured on exactly the clusters asked for."""
    reason = sees_the_future(model)
    if reason is not None:
        return [Figure.none(CHECK, MEASURE.quantity, reason)]
    pool = token_pool(model)
    check_fits(model, DEFAULTS.n, 0 if pool.bos is None else 1)
    stream = RepeatedTokenStream(pool, DEFAULTS.n, asked.seed)
    scores: InductionScores | None = None
    for start, count in batch_sizes(DEFAULTS.first_batch, asked.clusters):
        new = measure_induction(model, stream.take(start, count), heads=start == 0)
        scores = new if scores is None else scores.extend(new)
    if scores is None:
        return [Figure.none(CHECK, MEASURE.quantity, "no clusters were asked for")]
    details = measured_details(model, scores, pool, relative=False, seed=asked.seed)
    kept = ("chance", "times_chance", "shuffled", "unrepeated", "nll_gain", "p_target", "prefix_matching")
    return [
        Figure.of(
            CHECK,
            MEASURE.quantity,
            scores.accuracy,
            note=f"{details['times_chance']:.1f}x chance",
            details={name: details[name] for name in kept},
        )
    ]


MEASURE = ProfiledMeasure(
    CHECK, "induction", figures, "share of answers that are right on the second copy of random tokens"
)
