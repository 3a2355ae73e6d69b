"""The controls of a probe: labels are shuffled where they were given, words are counted, the simple is not lost to."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from measures.small import gpt2
from oracles import gaussian_probe

from interp_assert.controls import (
    count_words,
    embedding_site,
    fit_words,
    not_worse_than_diff_of_means,
    shuffle_labels,
    shuffled_labels,
)
from interp_assert.controls.bag_of_words import WITH_LENGTHS, WITH_PAIRS, WORDS
from interp_assert.controls.shuffled_labels import EXCEEDANCES
from interp_assert.errors import UsageProblem
from interp_assert.measures.probes import ProbeProblem, ProbeScores, probe_scores
from interp_assert.stats import Outcome, Split, split_by_group

RNG = np.random.default_rng


def of_entities(groups: int = 60, size: int = 3) -> tuple[np.ndarray, list[str], Split]:
    """Every group has one label."""
    names = [f"g{i}" for i in range(groups) for _ in range(size)]
    labels = np.repeat(np.arange(groups) % 2, size)
    return labels, names, split_by_group(labels, names)


def of_texts(groups: int = 60) -> tuple[np.ndarray, list[str], Split]:
    """Every group has both labels, twice."""
    names = [f"g{i}" for i in range(groups) for _ in range(4)]
    labels = np.tile([0, 1, 1, 0], groups)
    return labels, names, split_by_group(labels, names)


def test_labels_of_entities_are_shuffled_among_entities() -> None:
    labels, groups, split = of_entities()
    shuffled = shuffle_labels(labels, groups, split, RNG(0))[0]
    held = {group: {int(y) for y, g in zip(shuffled, groups, strict=True) if g == group} for group in groups}
    assert all(len(marks) == 1 for marks in held.values())
    assert 0.3 < np.mean(shuffled != labels) < 0.7


def test_labels_of_texts_are_shuffled_within_their_group() -> None:
    labels, groups, split = of_texts()
    shuffled = shuffle_labels(labels, groups, split, RNG(0))[0]
    counts = Counter((group, int(y)) for group, y in zip(groups, shuffled, strict=True))
    assert set(counts.values()) == {2}
    assert 0.3 < np.mean(shuffled != labels) < 0.7


@pytest.mark.parametrize("data", [of_entities, of_texts])
def test_every_part_keeps_its_classes_and_the_labels_stay_as_they_were(data) -> None:  # type: ignore[no-untyped-def]
    labels, groups, split = data()
    before = labels.copy()
    for seed in range(5):
        shuffled = shuffle_labels(labels, groups, split, RNG(seed), count=3)[2]
        for part in (split.train, split.select, split.test):
            assert shuffled[part].sum() == labels[part].sum()
    np.testing.assert_array_equal(labels, before)


def compared(own: float, nulls: np.ndarray, level: float = 0.01):  # type: ignore[no-untyped-def]
    labels, groups, split = of_texts(12)
    values = iter(nulls)
    calls: list[int] = []

    def refit(labelings: np.ndarray) -> np.ndarray:
        calls.append(len(labelings))
        return np.array([next(values) for _ in labelings])

    return shuffled_labels(own, refit, labels, groups, split, level=level), calls


def test_out_of_reach_of_all_shuffles_passes() -> None:
    result, calls = compared(0.9, np.linspace(0.4, 0.6, 199))
    assert result.outcome is Outcome.PASS
    assert result.details["p"] == 1 / 200
    assert sum(calls) == result.n == 199
    assert not result.approximate
    assert result.threshold == pytest.approx(0.6, abs=0.01)


def test_ten_shuffles_that_do_as_well_end_it() -> None:
    result, calls = compared(0.5, np.tile([0.4, 0.5], 100))
    assert result.outcome is Outcome.FAIL
    assert result.details["exceeding"] == EXCEEDANCES
    assert result.n == 20
    assert result.details["p"] == 0.5
    assert sum(calls) == 25


def test_a_few_that_do_as_well_leave_it_open() -> None:
    nulls = np.full(199, 0.4)
    nulls[[5, 50, 150]] = 0.95
    assert compared(0.9, nulls)[0].outcome is Outcome.INCONCLUSIVE
    nulls[[5, 50]] = 0.4
    assert compared(0.9, nulls)[0].outcome is Outcome.PASS  # p = .01


def test_a_stricter_level_takes_more_shuffles() -> None:
    result, calls = compared(0.9, np.full(2000, 0.4), level=0.001)
    assert sum(calls) == 1999
    assert result.outcome is Outcome.PASS


@pytest.mark.parametrize("data", [of_entities, of_texts])
def test_noise_passes_no_more_often_than_its_level(data) -> None:  # type: ignore[no-untyped-def]
    """Groups that are alike inside, features that know nothing of labels: at level .1, 40 runs, 9 or fewer PASS."""
    labels, groups, split = data(30)
    number = np.array([int(group[1:]) for group in groups])
    passed = 0
    for seed in range(40):
        rng = RNG(seed)
        features = rng.normal(size=(30, 8))[number] + 0.3 * rng.normal(size=(len(labels), 8))
        problem = ProbeProblem({"x": features.astype(np.float32)}, split)
        own = problem.fit(labels)
        result = shuffled_labels(own.test[0], problem.select_and_test, labels, groups, split, level=0.1, seed=seed)
        passed += result.outcome is Outcome.PASS
    assert passed <= 9  # more in one of 200 sets of runs


def test_a_signal_passes() -> None:
    labels, groups, split = of_entities()
    rng = RNG(1)
    features = (rng.normal(size=(180, 16)) + 1.5 * (labels[:, None] - 0.5) * (np.arange(16) < 4)).astype(np.float32)
    problem = ProbeProblem({"x": features, "noise": rng.normal(size=(180, 16)).astype(np.float32)}, split)
    own = problem.fit(labels)
    result = shuffled_labels(
        float(own.test[own.best]), problem.select_and_test, labels, groups, split, level=0.01, seed=0
    )
    assert result.outcome is Outcome.PASS
    assert result.details["mean"] == pytest.approx(0.5, abs=0.05)


def test_words_and_tokens_of_two_training_texts_are_counted() -> None:
    texts = ["A cat, a dog.", "a cat", "The bird", "a bird, a bird"]
    rows = [(1, 5, 6), (1, 5), (1, 7), (1, 7, 7)]
    split = Split([0, 1, 2], [2], [3])
    counts = count_words(texts, rows, split)
    # in two of the three training texts: "a", "cat"; tokens 1 and 5; nothing else
    assert sorted(counts[0].tolist()) == [1.0, 1.0, 1.0, 2.0]
    assert sorted(counts[3].tolist()) == [0.0, 0.0, 1.0, 2.0]
    assert count_words(texts, rows, split, most=2).shape == (4, 2)
    assert count_words(["x", "y"], [(1,), (2,)], Split([0], [1], [1])).shape == (2, 1)


def test_a_label_in_the_words_is_found_by_counting() -> None:
    rng = RNG(0)
    labels = np.arange(200) % 2
    texts = [f"w{rng.integers(50)} w{rng.integers(50)} {'good' if y else 'bad'}" for y in labels]
    split = split_by_group(labels, [str(i) for i in range(200)])
    counts = count_words(texts, [(1,)] * 200, split)
    assert probe_scores({"words": counts}, labels, split).test[0] == 1.0


def told(texts: list[str], labels: np.ndarray) -> ProbeScores:
    """With tokens that say nothing but how many there are."""
    split = split_by_group(labels, [str(i) for i in range(len(texts))])
    rows = [tuple(100 * number + place for place, _ in enumerate(text.split())) for number, text in enumerate(texts)]
    return fit_words(texts, rows, labels, split, margin=0.05, pairs=True)


def some_words(rng: np.random.Generator, n: int) -> str:
    return " ".join(f"w{i}" for i in rng.integers(30, size=n))


@pytest.mark.parametrize("kind", ["one word longer", "even or odd", "capitals", "words seen once"])
def test_a_label_in_the_length_or_in_the_capitals_is_held_against_the_probe(kind: str) -> None:
    rng, labels, texts = RNG(0), np.arange(300) % 2, []
    for number, y in enumerate(labels):
        n = {"even or odd": 2 * int(rng.integers(2, 5)) + y, "capitals": 6}.get(kind, 6 + y)
        text = some_words(rng, n) if kind != "words seen once" else " ".join(f"x{number}y{i}" for i in range(n))
        texts.append(text.title() if kind == "capitals" and y else text)
    found = told(texts, labels)
    assert found.sites[found.best] == WITH_LENGTHS
    assert found.test[found.best] > 0.85
    assert found.test[0] < found.test[found.best] - 0.05


def test_a_label_in_the_last_word_is_held_against_the_probe_though_the_word_is_everywhere() -> None:
    """Thirty words of which each ends texts of one class and stands in the middle of any."""
    rng, labels, texts = RNG(0), np.arange(400) % 2, []
    for number, y in enumerate(labels):
        texts.append(f"{some_words(rng, 8)} w{2 * rng.integers(15) + y}{'.' if number % 3 else ''}")
    found = told(texts, labels)
    assert found.sites[found.best] == WITH_LENGTHS
    assert found.test[found.best] > 0.95
    assert found.test[0] < 0.85


def test_a_label_in_the_words_is_left_to_the_words() -> None:
    rng, labels = RNG(0), np.arange(300) % 2
    found = told([f"{some_words(rng, 5)} {'good' if y else 'bad'}" for y in labels], labels)
    assert (found.sites[found.best], found.test[found.best]) == (WORDS, 1.0)


def test_a_label_in_the_order_of_words_is_told_and_not_held_against_the_probe() -> None:
    rng, labels, texts = RNG(0), np.arange(300) % 2, []
    for y in labels:
        words = some_words(rng, 6).split()
        words.insert(rng.integers(6), "hot red" if y else "red hot")
        texts.append(" ".join(words))
    found = told(texts, labels)
    assert found.test[found.best] < 0.65
    assert found.test[found.sites.index(WITH_PAIRS)] > 0.95


@pytest.mark.parametrize("groups", [83, 160, 239])
def test_words_that_both_classes_share_are_tied_to_the_last_bit(groups: int) -> None:
    """Whatever 1 / n rounds to: scores that differ by rounding would be taken for an order."""
    rng = RNG(groups)
    pairs = [some_words(rng, 5).split() for _ in range(groups)]
    texts = [f"{' '.join(words)} {number}" for number, half in enumerate(pairs) for words in (half, half[::-1])]
    labels = np.tile([0, 1], groups)
    split = split_by_group(labels, [str(i // 2) for i in range(2 * groups)])
    rows = [tuple(int(word[1:]) for word in text.split()[:5]) for text in texts]
    found = fit_words(texts, rows, labels, split, margin=0.05)
    assert found.sites[found.best] == WORDS
    assert len(set(found.chosen.tolist())) == 1


def scores(shift: float, seed: int = 0, groups: int = 150) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = RNG(seed)
    labels = np.tile([0, 1], groups)
    values = rng.normal(size=(2, 2 * groups)) + 2.0 * labels
    values[0] = 0.8 * values[1] + 0.6 * values[0] + shift * labels
    return values, labels, [str(i // 2) for i in range(2 * groups)]


def test_a_probe_that_is_as_good_is_not_worse_and_one_that_is_worse_is() -> None:
    values, labels, groups = scores(0.0)
    same = not_worse_than_diff_of_means(values[1], values[1], labels, groups, level=0.01)
    assert (same.outcome, same.estimate) == (Outcome.PASS, 0.0)
    assert same.approximate
    worse = not_worse_than_diff_of_means(scores(-2.5)[0][0], values[1], labels, groups, level=0.01)
    assert worse.outcome is Outcome.FAIL
    assert worse.interval is not None
    assert worse.interval[1] < -0.02
    better = not_worse_than_diff_of_means(scores(1.5)[0][0], values[1], labels, groups, level=0.01)
    assert better.outcome is Outcome.PASS


def test_few_groups_decide_nothing_even_if_all_agree() -> None:
    """Two ways of scoring that never disagree on 20 groups may disagree on the next one."""
    values, labels, groups = scores(0.0, groups=20)
    assert (
        not_worse_than_diff_of_means(values[1], values[1], labels, groups, level=0.01).outcome is Outcome.INCONCLUSIVE
    )


def test_at_the_margin_it_passes_no_more_often_than_about_its_level() -> None:
    """A baseline with AUROC Phi(2 / sqrt 2) = .921, a score that has .901: .02 less. 5 of 100 at level .01, nearly
    never more.
    """
    from scipy.stats import norm

    shift = np.sqrt(2) * float(norm.ppf(gaussian_probe.best(2.0) - 0.02))
    passed = 0
    for seed in range(100):
        rng = RNG(seed)
        labels = np.tile([0, 1], 150)
        baseline = rng.normal(size=300) + 2.0 * labels
        worse = 0.8 * (baseline - 2.0 * labels) + 0.6 * rng.normal(size=300) + shift * labels
        groups = [str(i // 2) for i in range(300)]
        found = not_worse_than_diff_of_means(worse, baseline, labels, groups, level=0.01)
        passed += found.outcome is Outcome.PASS
    assert passed <= 5


def test_an_impossible_delta_is_named() -> None:
    values, labels, groups = scores(0.0)
    with pytest.raises(UsageProblem, match="delta=0"):
        not_worse_than_diff_of_means(values[0], values[1], labels, groups, level=0.01, delta=0)


def test_the_embedding_is_the_stream_before_the_first_block() -> None:
    assert embedding_site(gpt2()) == "blocks.0.resid_pre"
