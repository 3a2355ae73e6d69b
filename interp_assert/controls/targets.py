"""Shuffled targets: every entity is asked for the answer of another, in the same prompts (METHODS: C2, C9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..prompts import Fact
from ..stats import ErrorLevels
from .paired import PairedControl

__all__ = ["decoy_targets", "shuffled_targets"]


def shuffled_targets(margin: float, levels: ErrorLevels, *, population: int) -> PairedControl:
    """The share of crossovers to the true answer minus that to another entity's answer, paired by entity."""
    note = "true - another entity's target in the same prompts, paired by entity"
    return PairedControl("shuffled_targets", margin, levels, note=note, population=population)


def decoy_targets(facts: Sequence[Fact], seed: int = 0) -> list[int]:
    """For each fact the target of another entity under the same relation, with a different token.

    Entities stand in a seeded circle; each gets the next one whose answer differs, the same one in all its templates. A
    fact without any such entity keeps its own target, so that its difference is 0 and counts against the claim.
    """
    entities = sorted({fact.cluster for fact in facts})
    circle = [entities[i] for i in np.argsort(np.random.default_rng([seed, 0xDEC0]).random(len(entities)))]
    place = {entity: i for i, entity in enumerate(circle)}
    answers: dict[tuple[str, str], int] = {(fact.cluster, fact.relation): fact.target_id for fact in facts}
    decoys = []
    for fact in facts:
        start = place[fact.cluster]
        others = (circle[(start + step) % len(circle)] for step in range(1, len(circle)))
        wrong = (answers.get((other, fact.relation), fact.target_id) for other in others)
        decoys.append(next((token for token in wrong if token != fact.target_id), fact.target_id))
    return decoys
