"""Claim 5, not worse than a difference of means: detectors in the GPT-2 of O3, and pairs of Gaussian scores."""

from __future__ import annotations

from functools import cache, partial
from math import sqrt

import numpy as np
from oracles import probe_gpt2
from scipy.stats import norm

from interp_assert.assertions import InterpAssertionError, assert_beats_diff_of_means
from interp_assert.controls.diff_of_means import DELTA
from interp_assert.models import Model
from interp_assert.prompts import LabelledTexts
from interp_assert.stats import ErrorLevels, Outcome
from interp_assert.stats.auroc import auroc_difference, delong

from .family import BOUNDARY, NULLS, POSITIVES, Family, mixed
from .rule import MISS

CLAIM = "not worse than a difference of means"
TEST_GROUPS = 256
BASELINE = 0.92
ALIKE = 0.8
"""correlation of the two scores"""


def errors(level: float = 0.01) -> float:
    """How many standard errors the rule asks for, of a normal test at one level."""
    return float(norm.isf(level) + norm.isf(MISS))


@cache
def groups_for_equals() -> int:
    """Groups with which two that rank alike are predicted to pass: the error is at least half of one in n groups."""
    test_part = errors() * 0.5 / DELTA
    return 2 * int(np.ceil(test_part))


def scores(rng: np.random.Generator, difference: float, groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(detector, difference of means, labels): normal, correlated, with AUROCs ``difference`` apart."""
    labels = np.tile([0, 1], groups)
    noise, other = rng.normal(size=(2, 2 * groups))
    baseline = noise + shift(BASELINE) * labels
    detector = ALIKE * noise + sqrt(1 - ALIKE**2) * other + shift(BASELINE + difference) * labels
    return detector, baseline, labels


def shift(auroc: float) -> float:
    return sqrt(2) * float(norm.ppf(auroc))


@cache
def distance() -> float:
    """By how much the AUROC must differ from -DELTA: the rule's errors, as they are in a large sample."""
    many = 20_000
    detector, baseline, labels = scores(np.random.default_rng(0), -DELTA, many)
    _, covariance = delong([detector, baseline], labels)
    error = sqrt(float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) * many / TEST_GROUPS)
    return errors() * error


def on_scores(k: int, difference: float, seed: int) -> Outcome:
    detector, baseline, labels = scores(np.random.default_rng([seed, k]), difference, TEST_GROUPS)
    names, levels = [str(i // 2) for i in range(labels.size)], ErrorLevels()
    low = auroc_difference(detector, baseline, labels, names, level=levels.pass_).low
    high = auroc_difference(detector, baseline, labels, names, level=levels.fail).high
    return Outcome.PASS if low > -DELTA else Outcome.FAIL if high < -DELTA else Outcome.INCONCLUSIVE


def best_channel(train: np.ndarray, labels: np.ndarray, every: np.ndarray) -> np.ndarray:
    """The channel whose class means differ most in units of its deviation."""
    difference = train[labels == 1].mean(0) - train[labels == 0].mean(0)
    channel = int(np.abs(difference / (train.std(0) + 1e-6)).argmax())
    return np.asarray(np.sign(difference[channel]) * every[:, channel])


def spoiled_channel(train: np.ndarray, labels: np.ndarray, every: np.ndarray) -> np.ndarray:
    found = best_channel(train, labels, every)
    return found + 2.0 * found.std() * np.random.default_rng(0).normal(size=len(found))


@cache
def model(delta: float, seed: int) -> Model:
    return probe_gpt2.build(delta, groups_for_equals(), seed=seed)


@cache
def texts(spoiled: bool = False) -> LabelledTexts:
    return probe_gpt2.texts(groups_for_equals(), ends=("up .", "down .") if spoiled else (".", "."))


def outcome(subject: Model, data: LabelledTexts, detector: object, k: int, **options: object) -> Outcome:
    try:
        return assert_beats_diff_of_means(subject, data, detector, seed=k, **options).outcome  # type: ignore[arg-type]
    except InterpAssertionError as refused:
        return refused.verdict.outcome


def families() -> list[Family]:
    away = distance()
    nulls = {
        "a worse detector": lambda k: outcome(model(4.0, k % 3), texts(), spoiled_channel, k, twins=2),
        "nothing to read": lambda k: outcome(model(0.0, k % 3), texts(), best_channel, k, twins=2),
        "in the words": lambda k: outcome(model(4.0, k % 3), texts(True), best_channel, k, twins=2),
    }
    return [
        Family(
            CLAIM,
            "a spoiled detector; nothing to read; label in the words",
            "null",
            "end to end",
            mixed(nulls),
            f"{groups_for_equals() // 2} groups",
            NULLS,
            3,
        ),
        Family(
            CLAIM,
            f"AUROC {away + DELTA:.3f} lower, delta {DELTA}",
            "null",
            "scores",
            partial(on_scores, difference=-DELTA - away, seed=97),
            f"{TEST_GROUPS} groups",
            NULLS,
            30,
        ),
        Family(
            CLAIM,
            f"AUROC lower by delta = {DELTA}",
            "boundary",
            "scores",
            partial(on_scores, difference=-DELTA, seed=101),
            f"{TEST_GROUPS} groups",
            BOUNDARY,
            60,
        ),
        Family(
            CLAIM,
            f"AUROC {away - DELTA:.3f} higher",
            "positive",
            "scores",
            partial(on_scores, difference=away - DELTA, seed=103),
            f"{TEST_GROUPS} groups",
            POSITIVES,
            10,
        ),
        Family(
            CLAIM,
            f"a detector that ranks alike, {groups_for_equals()} groups",
            "positive",
            "end to end",
            lambda k: outcome(model(4.0, k % 3), texts(), best_channel, k),
            f"{groups_for_equals() // 2} groups",
            POSITIVES,
            1,
        ),
    ]
