"""Claim 5, steering along a difference of means: the linear model of O11, in which every slope is a product.

Words of class 1 lie ``size`` along what the target's logit difference reads, words of class 0 against it. So the slope
is size |u|, to noise, on every prompt, and what its controls do is known too: along random directions of the same norm
the slope is normal with a deviation of 1 / sqrt(width) of it, with classes dealt out at random one of 1 / sqrt(groups)
in the training part.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import torch
from oracles import steering_linear
from prompts.words import metaspace_tokenizer

from interp_assert.assertions import InterpAssertionError, assert_steers
from interp_assert.assertions.steers import DEFAULTS
from interp_assert.controls import DIRECTIONS
from interp_assert.models import Model, wrap
from interp_assert.prompts import LabelledTexts
from interp_assert.stats import Outcome, SequentialGate
from interp_assert.stats.splits import SHARES

from .family import BOUNDARY, NULLS, POSITIVES, Family
from .rule import closest, predicted, twin_distance

CLAIM = "steering along a difference of means"
LAYER = 2
FLOOR = DEFAULTS.floor
PROMPTS = 100
SIZE = 8.0
"""class distance along the target: the classes' other differences come from 80 random words each, a tenth of it"""


@cache
def groups() -> int:
    """So many that a real direction stands out of those of dealt classes, as the rule asks."""
    return int(np.ceil(twin_distance(DIRECTIONS) ** 2 / SHARES[0]))


@cache
def width() -> int:
    """So wide that it stands out of random directions, with a cosine of .95 to the target's own."""
    return int(np.ceil((twin_distance(DIRECTIONS) / 0.95) ** 2))


@cache
def words() -> tuple[object, dict[str, int]]:
    tokenizer = metaspace_tokenizer(
        [f"▁{kind}{i}" for kind in ("p", "n", "who") for i in range(groups())] + ["▁up", "▁down"]
    )
    return tokenizer, {word.strip("▁"): i for word, i in tokenizer.get_vocab().items()}


@cache
def data() -> LabelledTexts:
    return LabelledTexts(
        "words",
        tuple(f" who{i} {kind}{i}" for i in range(groups()) for kind in ("p", "n")),
        (1, 0) * groups(),
        tuple(f"group {i}" for i in range(groups()) for _ in range(2)),
        ("low", "high"),
    )


@cache
def neutral() -> list[list[int]]:
    _, ids = words()
    return [[1, ids[f"who{i}"], ids[f"who{i + 1}"]] for i in range(40)]


@cache
def linear(size: float, seed: int = 0) -> Model:
    tokenizer, ids = words()
    module = steering_linear.build(len(ids), seed, width=width())
    u = steering_linear.reader(module, LAYER, (ids["up"], ids["down"]))
    laid = steering_linear.laid_at_the_embedding(module, LAYER, u / np.linalg.norm(u))
    for kind, sign in (("p", 1.0), ("n", -1.0)):
        places = [ids[f"{kind}{i}"] for i in range(groups())]
        module.embed.weight[places] = (
            0.3 * module.embed.weight[places] + sign * size / 2 * torch.from_numpy(laid).float()
        )
    return wrap(module, tokenizer, id=f"oracle:linear-{size:g}")


def outcome(model: Model, k: int, target: tuple[str, str] = ("up", "down"), twins: int = 5) -> Outcome:
    options = {"layer": LAYER, "neutral": neutral(), "nll_budget": 50.0, "twins": twins, "seed": k}
    try:
        return assert_steers(model, data(), target=target, **options).outcome  # type: ignore[arg-type]
    except InterpAssertionError as refused:
        return refused.verdict.outcome


def on_a_list(k: int, steerable: int, seed: int) -> Outcome:
    gate = SequentialGate(FLOOR, population=PROMPTS)
    return gate.update(np.random.default_rng([seed, k]).permutation(answers(steerable)))


def answers(steerable: int) -> np.ndarray:
    return (np.arange(PROMPTS) < steerable).astype(np.float64)


def families() -> list[Family]:
    at = round(FLOOR * PROMPTS)
    low = closest(range(at - 1, -1, -1), lambda n: predicted(1.0 - answers(n), 1.0 - FLOOR, PROMPTS))
    return [
        Family(
            CLAIM,
            "the opposite target",
            "null",
            "end to end",
            lambda k: outcome(linear(SIZE, k % 3), k, ("down", "up"), twins=2),
            f"{groups()} groups",
            NULLS,
            1,
        ),
        Family(
            CLAIM,
            f"{low} of {PROMPTS} prompts steerable against a floor of {FLOOR}",
            "null",
            "scores",
            partial(on_a_list, steerable=low, seed=107),
            f"{PROMPTS} prompts",
            NULLS,
            30,
        ),
        Family(
            CLAIM,
            f"{at - 1} of {PROMPTS} prompts steerable: just false",
            "boundary",
            "scores",
            partial(on_a_list, steerable=at - 1, seed=109),
            f"{PROMPTS} prompts",
            BOUNDARY,
            100,
            fail_is_wrong=False,
        ),
        Family(
            CLAIM,
            "classes that differ in nothing: a direction like any other",
            "boundary",
            "end to end",
            lambda k: outcome(linear(0.0, k), k, twins=2),
            f"{groups()} groups",
            60,
            1,
            fail_is_wrong=False,
        ),
        Family(
            CLAIM,
            f"classes {SIZE:g} apart along the target, {groups()} groups, width {width()}",
            "positive",
            "end to end",
            lambda k: outcome(linear(SIZE, k % 3), k),
            f"{groups()} groups",
            POSITIVES,
            1,
        ),
    ]
