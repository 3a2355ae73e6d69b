"""Claim 6, random weights: a measurement whose scores we choose, around real twins of a tiny model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from measures.small import gpt2

from interp_assert.assertions import InterpAssertionError, assert_beats_random_weights
from interp_assert.controls import TWIN_MARGIN
from interp_assert.models import Model
from interp_assert.stats import Outcome, compare_with_twins

from .family import BOUNDARY, NULLS, POSITIVES, Family, mixed
from .rule import twin_distance

CLAIM = "random weights"
TWINS = 5
VALUES, NOISE = 64, 0.2
"""scores behind one logit, and their standard deviation on the logit scale"""


@cache
def model() -> Model:
    return gpt2(n_embd=8, n_layer=1, n_head=1)


def outcome(measure: Callable[[Model], object], k: int, **options: object) -> Outcome:
    try:
        return assert_beats_random_weights(measure, model(), twins=TWINS, seed=k, **options).outcome  # type: ignore[arg-type]
    except InterpAssertionError as refused:
        return refused.verdict.outcome


def number(k: int, ahead: float) -> Callable[[Model], float]:
    """A single number: normal for every twin, ``ahead`` standard deviations higher for the model."""
    rng = np.random.default_rng([79, k])
    return lambda subject: float(rng.normal()) + (0.0 if "~" in subject.id else ahead)


def shares(k: int, ahead: float) -> Callable[[Model], np.ndarray]:
    """A share for each cluster, ``ahead`` on the logit scale for the model; twins differ among themselves as well."""
    rng = np.random.default_rng([83, k])

    def measure(subject: Model) -> np.ndarray:
        at = rng.normal(0.0 if "~" in subject.id else ahead, 0.05)
        return np.asarray(1.0 / (1.0 + np.exp(-rng.normal(at, NOISE, VALUES))))

    return measure


def one_more_twin(k: int) -> Outcome:
    """The null itself, without a margin: the rate of PASS is the level."""
    rng = np.random.default_rng([89, k])
    own, *others = rng.normal(size=TWINS + 1)
    return compare_with_twins(own, others, sampling_error=1e-9, level=0.01).outcome


def families() -> list[Family]:
    distance = twin_distance(TWINS)
    nulls = {
        "a worse number": lambda k: outcome(number(k, -distance), k),
        "shares like a twin's": lambda k: outcome(shares(k, 0.0), k, lo=0, hi=1),
    }
    return [
        Family(
            CLAIM,
            f"{distance:.1f} deviations below the twins; one more twin, {TWIN_MARGIN} below the margin",
            "null",
            "end to end",
            mixed(nulls),
            f"{TWINS} twins",
            NULLS,
            10,
        ),
        Family(
            CLAIM,
            "one more twin, margin 0",
            "boundary",
            "scores",
            one_more_twin,
            f"{TWINS} twins",
            BOUNDARY,
            200,
            fail_is_wrong=False,
        ),
        Family(
            CLAIM,
            f"{distance:.1f} deviations above {TWINS} twins",
            "positive",
            "end to end",
            lambda k: outcome(number(k, distance), k),
            f"{TWINS} twins",
            POSITIVES,
            5,
        ),
    ]
