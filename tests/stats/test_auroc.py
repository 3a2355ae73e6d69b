"""The AUROC, its errors with and without groups, and the disjoint pairs that the exact gate is fed with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.stats import (
    Outcome,
    SequentialGate,
    delong,
    delong_variance,
    disjoint_pairs,
    logit_delong_interval,
    pair_up,
)
from interp_assert.stats.auroc import auroc, most_pairs


def counted(scores: np.ndarray, labels: np.ndarray) -> float:
    """By comparing every positive with every negative example."""
    difference = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def samples(seed: int, n: int = 60, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(int)
    labels[:2] = 0, 1
    return np.round(rng.normal(size=n) + shift * labels, 1), labels


@pytest.mark.parametrize("seed", range(5))
def test_midranks_count_every_pair_and_half_of_the_ties(seed: int) -> None:
    scores, labels = samples(seed)
    assert len(set(scores)) < len(scores)
    assert auroc(scores, labels) == pytest.approx(counted(scores, labels), abs=1e-12)
    assert auroc(-scores, labels) == pytest.approx(1.0 - auroc(scores, labels), abs=1e-12)
    assert auroc(np.zeros(60), labels) == 0.5


def test_many_at_once_are_as_one_by_one() -> None:
    rows = [samples(seed) for seed in range(3)]
    scores, labels = (np.stack([row[i] for row in rows]) for i in range(2))
    np.testing.assert_allclose(auroc(scores, labels), [auroc(*row) for row in rows], atol=1e-14)
    np.testing.assert_allclose(auroc(scores, labels[0]), [auroc(row, labels[0]) for row in scores], atol=1e-14)


def test_the_variance_is_delongs() -> None:
    """By its definition: the variance of placements of positives, plus that of negatives."""
    scores, labels = samples(3)
    upper, lower = scores[labels == 1], scores[labels == 0]
    wins = (np.sign(upper[:, None] - lower[None, :]) + 1) / 2
    expected = wins.mean(1).var(ddof=1) / len(upper) + wins.mean(0).var(ddof=1) / len(lower)
    assert delong_variance(scores, labels) == pytest.approx(expected, rel=1e-12)
    alone = [str(i) for i in range(60)]
    assert delong_variance(scores, labels, alone) == pytest.approx(expected, rel=1e-12)


def test_the_variance_is_that_of_statsmodels() -> None:
    compare = pytest.importorskip("statsmodels.stats.nonparametric").rank_compare_2indep
    scores, labels = samples(4)
    found = compare(scores[labels == 1], scores[labels == 0])
    areas, covariance = delong(scores, labels)
    assert areas[0] == pytest.approx(found.prob1, abs=1e-12)
    assert covariance[0, 0] == pytest.approx(found.var / found.nobs, rel=1e-12)


def test_two_ways_of_scoring_share_what_they_share() -> None:
    scores, labels = samples(5)
    other = scores + np.random.default_rng(0).normal(size=60)
    _, covariance = delong([scores, other, scores], labels)
    assert covariance[0, 2] == pytest.approx(covariance[0, 0], rel=1e-12)
    assert 0 < covariance[0, 1] < np.sqrt(covariance[0, 0] * covariance[1, 1])
    np.testing.assert_allclose(covariance, covariance.T)


def test_examples_said_twice_say_nothing_new() -> None:
    """The variance with groups does not fall when every example is repeated within its group; DeLong's halves."""
    scores, labels = samples(6, n=200)
    groups = [str(i) for i in range(200)]
    once = delong_variance(scores, labels)
    twice = delong_variance(np.tile(scores, 2), np.tile(labels, 2), groups * 2)
    assert twice == pytest.approx(once, rel=0.02)
    assert delong_variance(np.tile(scores, 2), np.tile(labels, 2)) == pytest.approx(once / 2, rel=0.02)


@pytest.mark.parametrize("mixed", [False, True])
def test_the_variance_with_groups_is_the_variance_over_samples(mixed: bool) -> None:
    """Groups of four share a shift as large as the noise; both classes in each group, or one."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 4)
    labels = np.tile([0, 1, 0, 1], 60) if mixed else np.repeat(np.arange(60) % 2, 4)
    areas, variances, naive = [], [], []
    for _ in range(300):
        scores = rng.normal(size=240) + 1.5 * rng.normal(size=60)[groups] + 1.0 * labels
        areas.append(auroc(scores, labels))
        variances.append(delong_variance(scores, labels, groups.astype(str)))
        naive.append(delong_variance(scores, labels))
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.25)
    assert not np.isclose(np.mean(naive), np.var(areas), rtol=0.4)


def test_the_interval_covers_on_the_logit_scale_near_one() -> None:
    """d' = 2.66: AUROC .97 with 30 of each class, where the plain interval misses three times as often."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 30)
    missed = 0
    for _ in range(400):
        low, high = logit_delong_interval(rng.normal(size=60) + 2.66 * labels, labels, level=0.1)
        missed += not low <= 0.97 <= high
    assert missed <= 56  # 40 expected; more in one of 200 runs


@pytest.mark.parametrize("mixed", [False, True])
def test_the_interval_covers_where_examples_come_in_groups(mixed: bool) -> None:
    """Groups of four with a shift as large as the noise; as if examples were independent it would miss at another
    rate, too often or, where both classes of a group are shifted alike, too seldom.
    """
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(60), 4)
    labels = np.tile([0, 1, 0, 1], 60) if mixed else np.repeat(np.arange(60) % 2, 4)
    area = float(norm.cdf(2.0 / np.sqrt(4.0)))  # two examples of different groups differ by N(2, 2 + 2)
    grouped, plain = 0, 0
    for _ in range(400):
        scores = rng.normal(size=240) + rng.normal(size=60)[groups] + 2.0 * labels
        low, high = logit_delong_interval(scores, labels, groups.astype(str), level=0.1)
        grouped += not low <= area <= high
        low, high = logit_delong_interval(scores, labels, level=0.1)
        plain += not low <= area <= high
    assert 20 <= grouped <= 60  # 40 expected
    assert plain > 90 if not mixed else plain < 20


def test_where_no_pair_is_lost_the_end_is_exact() -> None:
    labels = np.repeat([0, 1], 20)
    low, high = logit_delong_interval(labels.astype(float), labels, level=0.02)
    assert high == 1.0
    assert low == pytest.approx(0.01 ** (1 / 20))
    groups = [str(i % 10) for i in range(40)]
    low, high = logit_delong_interval(-labels.astype(float), labels, groups, level=0.02)
    assert (low, high) == (0.0, pytest.approx(1 - 0.01 ** (1 / 5)))


@given(st.lists(st.sampled_from(["0", "1", "01", "0011"]), min_size=1, max_size=40), st.integers(0, 50))
def test_no_group_is_in_two_pairs_and_as_many_pairs_as_can_be(kinds: list[str], seed: int) -> None:
    groups = [f"g{i}" for i, kind in enumerate(kinds) for _ in kind]
    labels = [int(label) for kind in kinds for label in kind]
    pairs = pair_up(labels, groups, seed)
    used = [groups[place] for place in (*pairs.positive, *pairs.negative)]
    assert len(set(used)) == len(used)
    assert all(labels[place] == 1 for place in pairs.positive)
    assert all(labels[place] == 0 for place in pairs.negative)
    assert len(pairs) == most_pairs(labels, groups) == best_by_trying(kinds)
    assert len(set(pairs.ids)) == len(pairs)


def best_by_trying(kinds: list[str]) -> int:
    both = sum(len(set(kind)) == 2 for kind in kinds)
    lower, upper = kinds.count("0"), kinds.count("1")
    return max(min(upper + k, lower + both - k) for k in range(both + 1))


def test_the_mean_of_the_pairs_is_the_auroc() -> None:
    """Over many pairings of groups with both classes the mean is the AUROC between groups."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(30), 4)
    labels = np.tile([0, 1, 0, 1], 30)
    scores = rng.normal(size=120) + rng.normal(size=30)[groups] + labels
    between = [
        (np.sign(scores[i] - scores[j]) + 1) / 2
        for i in np.flatnonzero(labels)
        for j in np.flatnonzero(labels == 0)
        if groups[i] != groups[j]
    ]
    found = [disjoint_pairs(scores, labels, groups.astype(str), seed)[1].mean() for seed in range(400)]
    assert np.mean(found) == pytest.approx(np.mean(between), abs=0.015)
    within = [
        scores[i] > scores[j]
        for i in range(120)
        for j in range(120)
        if groups[i] == groups[j] and labels[i] > labels[j]
    ]
    assert np.mean(within) > np.mean(between) + 0.05  # what a pairing within groups would report


def test_pairs_do_not_depend_on_the_scores_and_repeat_with_the_seed() -> None:
    scores, labels = samples(7)
    groups = [str(i) for i in range(60)]
    ids, values = disjoint_pairs(scores, labels, groups, seed=4)
    again, other = disjoint_pairs(-scores, labels, groups, seed=4)
    assert ids == again
    np.testing.assert_allclose(other, 1 - values)
    assert ids != disjoint_pairs(scores, labels, groups, seed=5)[0]
    assert set(disjoint_pairs(np.zeros(60), labels, groups)[1]) == {0.5}


def test_the_gate_on_pairs_does_not_pass_at_the_boundary() -> None:
    """AUROC exactly .8, groups whose examples agree: at most 8 of 200 at level .01 in all but one of 1,000 runs."""
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(200), 3)
    labels = np.repeat(np.arange(200) % 2, 3)
    shift = np.sqrt(2) * norm.ppf(0.8)
    wrong = 0
    for seed in range(200):
        scores = (rng.normal(size=200) + shift * (np.arange(200) % 2))[groups]
        gate = SequentialGate(0.8)
        gate.update(disjoint_pairs(scores, labels, groups.astype(str), seed)[1])
        wrong += gate.outcome is Outcome.PASS
    assert wrong <= 8


def test_impossible_requests_are_named() -> None:
    refusals: list[tuple[type[Exception], str, Any]] = [
        (UsageProblem, "one of the classes is missing", lambda: auroc([1.0, 2.0], [1, 1])),
        (NonFiniteMeasurement, r"score \[1\] is nan", lambda: auroc([1.0, float("nan")], [0, 1])),
        (NonFiniteMeasurement, "is inf", lambda: disjoint_pairs([1.0, float("inf")], [0, 1], ["a", "b"])),
        (UsageProblem, "a variance needs two of each", lambda: delong([1.0, 2.0, 3.0], [0, 1, 1])),
        (UsageProblem, "level=0", lambda: logit_delong_interval([1.0, 2.0, 3.0], [0, 1, 1], level=0)),
    ]
    for kind, said, ask in refusals:
        with pytest.raises(kind, match=said):
            ask()
