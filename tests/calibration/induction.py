"""Claim 1, induction: a hand-written GPT-2 (O1) that can copy some of its tokens and no others.

Tokens are drawn without preference, so its accuracy is the share of the pool that it can copy, whatever the seed. It
says nothing in a shuffled second copy.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from measures.small import gpt2
from oracles import induction_gpt2, order_blind

from interp_assert.assertions import InterpAssertionError, assert_induction
from interp_assert.assertions.induction import DEFAULTS
from interp_assert.assertions.paired_claim import PairedClaim
from interp_assert.controls import shuffled, unrepeated
from interp_assert.models import Model, wrap
from interp_assert.prompts import token_pool
from interp_assert.stats import ErrorLevels, Measurement, Outcome, combine

from .family import BOUNDARY, NULLS, POSITIVES, Family, drawn, mixed
from .rule import closest, predicted

CLAIM = "induction"
FLOOR = 0.5
CLUSTERS = 512
SCORED = DEFAULTS.n - 1


@cache
def knowing(tokens: int) -> Model:
    """It copies the first ``tokens`` of its pool."""
    module = induction_gpt2.build(12.0, dtype=torch.float32)
    model = wrap(module, id=f"oracle:induction-{tokens}")
    unknown = torch.tensor(token_pool(model).ids[tokens:])
    start = induction_gpt2.INDUCTION_HEAD[1] * induction_gpt2.D_HEAD
    with torch.no_grad():
        module.transformer.h[1].attn.c_proj.weight[start + unknown] = 0.0
    return model


@cache
def pool_size() -> int:
    return len(token_pool(wrap(induction_gpt2.build(12.0, dtype=torch.float32), id="oracle:induction")).ids)


def scores(tokens: int, count: int = 4000, seed: int = 0) -> np.ndarray:
    """Accuracies of clusters, as they are distributed: hits are drawn from the pool without replacement."""
    rng = np.random.default_rng([seed, tokens])
    return np.asarray(rng.hypergeometric(tokens, pool_size() - tokens, SCORED, count) / SCORED)


@cache
def positive() -> int:
    """Tokens that a model must know for the rule to let it be a positive."""
    half = pool_size() // 2
    return closest(range(half + 1, pool_size() + 1), lambda k: predicted(scores(k), FLOOR, CLUSTERS))


@cache
def null() -> int:
    half = (pool_size() + 1) // 2
    return closest(range(half - 1, -1, -1), lambda k: predicted(1.0 - scores(k), 1.0 - FLOOR, CLUSTERS))


def outcome(model: Model, k: int, **options: object) -> Outcome:
    try:
        return assert_induction(model, seed=k, **options).outcome  # type: ignore[arg-type]
    except InterpAssertionError as refused:
        return refused.verdict.outcome


@cache
def blind() -> Model:
    return wrap(order_blind.build().float(), id="oracle:order-blind")


def at_the_floor(k: int) -> Outcome:
    """Scores of a model that knows exactly half of its pool, against a floor of their mean."""
    half = pool_size() // 2
    values = drawn(scores(half, seed=1), CLUSTERS, [31, k])
    return judged(values, np.zeros(CLUSTERS), floor=half / pool_size())


def at_the_margin(k: int) -> Outcome:
    """Without a floor: the accuracy exceeds that on shuffled rows by exactly the margin, both far from 0."""
    rng = np.random.default_rng([37, k])
    own = rng.binomial(SCORED, 0.30 + DEFAULTS.margin, CLUSTERS) / SCORED
    return judged(own, rng.binomial(SCORED, 0.30, CLUSTERS) / SCORED, floor=None)


def below_the_floor(k: int) -> Outcome:
    values = drawn(scores(null(), seed=2), CLUSTERS, [41, k])
    return judged(values, np.zeros(CLUSTERS), floor=FLOOR)


def no_better_than_shuffled(k: int) -> Outcome:
    """A floor that is met, by a model that knows which tokens occurred: a shuffled copy is answered as well."""
    rng = np.random.default_rng([43, k])
    own, null = rng.binomial(SCORED, order_blind.expected_accuracy(), (2, CLUSTERS)) / SCORED
    return judged(own, null, floor=0.1)


def judged(own: np.ndarray, null: np.ndarray, *, floor: float | None) -> Outcome:
    """The gates of the assertion, fed as it feeds them; all controls but twins."""
    levels = ErrorLevels()
    claim = PairedClaim(shuffled(DEFAULTS.margin, levels), floor, levels)
    other = unrepeated(DEFAULTS.margin, levels)
    claim.update(measured(own), measured(null))
    other.update(measured(own), measured(np.zeros(len(own))))
    return combine(claim.gate.outcome, [claim.control_result(), other.result()])


def measured(values: np.ndarray) -> Measurement:
    return Measurement("accuracy", 1, tuple(map(str, range(len(values)))), values, 0, 1, "share of tokens", "higher")


def families() -> list[Family]:
    share, low = positive() / pool_size(), null() / pool_size()
    nulls = {
        "below the floor": lambda k: outcome(knowing(null()), k, floor=FLOOR, twins=2),
        "order-blind": lambda k: outcome(blind(), k, floor=0.1, twins=2),
        "random weights": lambda k: outcome(gpt2(k), k, twins=2),
    }
    names = f"accuracy {low:.3f} against a floor of {FLOOR}; order-blind, .187 against .1"
    on_scores = {"below the floor": below_the_floor, "order-blind": no_better_than_shuffled}
    return [
        Family(
            CLAIM, f"{names}; random weights", "null", "end to end", mixed(nulls), f"{CLUSTERS} sequences", NULLS, 3
        ),
        Family(CLAIM, names, "null", "scores", mixed(on_scores), f"{CLUSTERS} sequences", NULLS, 30),
        Family(
            CLAIM, "accuracy at the floor", "boundary", "scores", at_the_floor, f"{CLUSTERS} sequences", BOUNDARY, 100
        ),
        Family(
            CLAIM,
            "accuracy - shuffled at the margin",
            "boundary",
            "scores",
            at_the_margin,
            f"{CLUSTERS} sequences",
            BOUNDARY,
            100,
        ),
        Family(
            CLAIM,
            f"accuracy {share:.3f} against a floor of {FLOOR}",
            "positive",
            "end to end",
            lambda k: outcome(knowing(positive()), k, floor=FLOOR),
            f"{CLUSTERS} sequences",
            POSITIVES,
            1,
        ),
    ]
