"""The logit lens in the profile: the share of answered facts that stand for good by three quarters of the depth."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ..assertions.lens_crossover import CHECK, DEFAULTS, crossed_by, listed_facts, pooled_by_entity
from ..assertions.lens_report import count_details, lens_details
from ..assertions.reasons import sees_the_future
from ..measures import measure_logit_lens
from ..measures.lens import why_no_lens
from .figure import Figure, Request
from .measure import ProfiledMeasure

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["MEASURE"]


def figures(model: Model, asked: Request) -> Sequence[Figure]:
    """One figure; blank, with the counts, if the model answers facts of fewer than 20 entities."""
    reason = why_no_lens(model) or sees_the_future(model)
    if reason is None and model.tokenizer is None:
        reason = "it has no tokenizer, so facts cannot be put into its tokens"
    if reason is not None:
        return [Figure.none(CHECK, MEASURE.quantity, reason)]
    listed = listed_facts(model, None, asked.seed, asked.clusters)
    if not listed.facts:
        return [Figure.none(CHECK, MEASURE.quantity, f"no fact could be put into its tokens ({listed.note})")]
    scores = measure_logit_lens(model, listed)
    kept = [int(i) for i in np.flatnonzero(scores.answered)]
    entities = tuple(dict.fromkeys(listed.facts[i].cluster for i in kept))
    if len(entities) < DEFAULTS.least_answered:
        reason = f"it answers facts of {len(entities)} entities, at least {DEFAULTS.least_answered} are needed"
        return [Figure.none(CHECK, MEASURE.quantity, reason)]
    n_blocks = int(model.anatomy.n_blocks)
    block = ceil(DEFAULTS.depth * n_blocks)
    share = pooled_by_entity("lens/crossover", listed.facts, kept, crossed_by(scores, block))
    told = lens_details(scores, kept, len(entities), all_facts=False)
    median = told["median_block"]
    return [
        Figure.of(
            CHECK,
            MEASURE.quantity,
            share,
            population=len(entities),
            note="half never" if median is None else f"half by block {median} of {n_blocks}",
            details={
                "block": block,
                "n_blocks": n_blocks,
                **{name: told[name] for name in ("median_block", "answered_facts", "answered_entities", "by_block")},
                **count_details(listed),
            },
        )
    ]


MEASURE = ProfiledMeasure(
    CHECK,
    "lens crossover",
    figures,
    "share of the facts it answers that the logit lens has right for good by three quarters of the depth",
)
