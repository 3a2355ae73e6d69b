"""Claim 2, lens crossover: a GPT-2 that looks each answer up at a block of our choice, a finite list of entities.

The claim is about the list, so its truth is a count. Which entities cross late is dealt anew for every replicate.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from oracles import lens_lookup

from interp_assert.assertions import InterpAssertionError, assert_lens_crossover
from interp_assert.assertions.lens_crossover import DEFAULTS
from interp_assert.assertions.paired_claim import PairedClaim
from interp_assert.controls import shuffled_targets
from interp_assert.models import wrap
from interp_assert.prompts import Fact
from interp_assert.stats import ErrorLevels, Measurement, Outcome, combine

from .family import BOUNDARY, NULLS, POSITIVES, Family, mixed
from .rule import closest, predicted

CLAIM = "lens crossover"
ENTITIES = 100
FLOOR = DEFAULTS.floor
EARLY, LATE = 2, 4
"""blocks, before and after the one that the claim names (3 of 4)"""


def crossed(count: int) -> np.ndarray:
    return (np.arange(ENTITIES) < count).astype(np.float64)


@cache
def positive() -> int:
    """Entities that cross in time. The theory of endless draws: on a list the gate is at least as quick."""
    return closest(range(ENTITIES // 2 + 1, ENTITIES + 1), lambda k: predicted(crossed(k), FLOOR, ENTITIES))


@cache
def null() -> int:
    return closest(range(ENTITIES // 2 - 1, -1, -1), lambda k: predicted(1.0 - crossed(k), 1.0 - FLOOR, ENTITIES))


def end_to_end(k: int, early: int, *, twins: int = 5) -> Outcome:
    in_time = np.random.default_rng([47, k]).permutation(ENTITIES) < early
    model = wrap(lens_lookup.build([EARLY if each else LATE for each in in_time]), id=f"oracle:lens-{early}")
    return outcome(model, lens_lookup.facts(ENTITIES), k, twins)


def one_answer_for_all(k: int) -> Outcome:
    """Every prompt is the same and has the same answer, which is there early: so is any other entity's."""
    asked = [Fact(f.cluster, "r", "t", "p", "a", (0, 1), ENTITIES + 1) for f in lens_lookup.facts(ENTITIES)]
    return outcome(wrap(lens_lookup.build([1] * ENTITIES), id="oracle:lens-one"), asked, k, 2)


def outcome(model: object, facts: list[Fact], k: int, twins: int) -> Outcome:
    try:
        return assert_lens_crossover(model, facts=facts, floor=FLOOR, seed=k, twins=twins).outcome  # type: ignore[arg-type]
    except InterpAssertionError as refused:
        return refused.verdict.outcome


def on_a_list(k: int, own: int, decoys: int = 0, seed: int = 53) -> Outcome:
    """``own`` of the list's entities cross over in time, and ``decoys`` do to another entity's answer."""
    rng = np.random.default_rng([seed, k])
    levels = ErrorLevels()
    control = shuffled_targets(DEFAULTS.margin, levels, population=ENTITIES)
    claim = PairedClaim(control, FLOOR, levels)
    claim.update(measured(rng.permutation(crossed(own))), measured(rng.permutation(crossed(decoys))))
    return combine(claim.gate.outcome, [claim.control_result()])


def measured(values: np.ndarray) -> Measurement:
    return Measurement("crossed", 1, tuple(map(str, range(len(values)))), values, 0, 1, "share of facts", "higher")


def families() -> list[Family]:
    low, high, beside = null(), positive(), round(FLOOR * ENTITIES) - 1
    nulls = {"too late": lambda k: end_to_end(k, null(), twins=2), "one answer for all": one_answer_for_all}
    name = f"{low} of {ENTITIES} entities in time against a floor of {FLOOR}"
    on_scores = {
        "too late": lambda k: on_a_list(k, low),
        "as many to another's answer": lambda k: on_a_list(k, high, high, seed=59),
    }
    return [
        Family(
            CLAIM, f"{name}; one answer for all", "null", "end to end", mixed(nulls), f"{ENTITIES} entities", NULLS, 2
        ),
        Family(
            CLAIM, f"{name}; decoys as often", "null", "scores", mixed(on_scores), f"{ENTITIES} entities", NULLS, 30
        ),
        Family(
            CLAIM,
            f"{beside} of {ENTITIES} in time: just false",
            "boundary",
            "scores",
            lambda k: on_a_list(k, beside, seed=61),
            f"{ENTITIES} entities",
            BOUNDARY,
            100,
            fail_is_wrong=False,
        ),
        Family(
            CLAIM,
            f"{high} of {ENTITIES} in time",
            "positive",
            "end to end",
            lambda k: end_to_end(k, positive()),
            f"{ENTITIES} entities",
            POSITIVES,
            1,
        ),
    ]
