"""A detector that is as good as a difference of means passes, one that is worse fails, and words count for nothing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from measures.small import gpt2
from oracles import probe_gpt2

from interp_assert.assertions import NotApplicable, assert_beats_diff_of_means
from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.stats import Outcome

from .outcome import control, verdict_of

GROUPS = 200
TEXTS = probe_gpt2.texts(GROUPS)
KNOWING = probe_gpt2.build(4.0, GROUPS)


def best_channel(train: np.ndarray, labels: np.ndarray, every: np.ndarray) -> np.ndarray:
    """The one channel whose means differ most in units of its deviation: what choosing a latent does."""
    difference = train[labels == 1].mean(0) - train[labels == 0].mean(0)
    channel = int(np.abs(difference / (train.std(0) + 1e-6)).argmax())
    return np.asarray(np.sign(difference[channel]) * every[:, channel])


def noisy_channel(train: np.ndarray, labels: np.ndarray, every: np.ndarray) -> np.ndarray:
    """The same, spoiled."""
    scores = best_channel(train, labels, every)
    return scores + 2.0 * np.random.default_rng(0).normal(size=len(scores)) * scores.std()


def test_a_detector_that_is_as_good_passes() -> None:
    verdict = assert_beats_diff_of_means(KNOWING, TEXTS, best_channel)
    assert verdict.outcome is Outcome.PASS
    assert [(c.name, c.outcome) for c in verdict.controls] == [
        ("bag_of_words", Outcome.PASS),
        ("random_weights", Outcome.PASS),
    ]
    assert verdict.layer == "block 2 of 3"
    assert verdict.estimate == pytest.approx(0.0, abs=0.02)
    assert verdict.details["diff_of_means_auroc"] > 0.95
    assert "best_channel" in verdict.claim
    json.dumps(verdict.as_dict(), allow_nan=False)


def test_the_probes_of_the_house_are_taken_by_name() -> None:
    assert assert_beats_diff_of_means(KNOWING, TEXTS, "linear").outcome is Outcome.PASS


def test_a_worse_one_fails() -> None:
    verdict = verdict_of(assert_beats_diff_of_means, KNOWING, TEXTS, noisy_channel, twins=2)
    assert verdict.outcome is Outcome.FAIL
    assert "a difference of means does better" in verdict.reason
    assert verdict.estimate is not None
    assert verdict.estimate < -0.1


def test_being_as_bad_as_a_difference_of_means_is_not_enough() -> None:
    """Where nothing is known the two are alike; the controls refuse."""
    verdict = verdict_of(assert_beats_diff_of_means, probe_gpt2.build(0.0, GROUPS), TEXTS, best_channel, twins=2)
    assert control(verdict, "bag_of_words").outcome is not Outcome.PASS
    assert verdict.outcome is not Outcome.PASS


def test_a_label_in_the_words_is_refused() -> None:
    spoiled = probe_gpt2.texts(GROUPS, ends=("up .", "down ."))
    verdict = verdict_of(assert_beats_diff_of_means, KNOWING, spoiled, best_channel, twins=2)
    assert verdict.claim_outcome is Outcome.PASS
    assert control(verdict, "bag_of_words").outcome is Outcome.FAIL
    assert verdict.outcome is Outcome.FAIL


def test_the_detector_never_sees_labels_of_the_test_part() -> None:
    seen: list[tuple[int, ...]] = []

    def watching(train: np.ndarray, labels: np.ndarray, every: np.ndarray) -> np.ndarray:
        seen.append((len(train), len(labels), len(every)))
        return best_channel(train, labels, every)

    assert_beats_diff_of_means(KNOWING, TEXTS, watching, layer=2, twins=3)
    assert seen == [(140, 140, 400)] * 4  # the model and three twins


def test_without_a_tokenizer_it_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="no tokenizer"):
        assert_beats_diff_of_means(gpt2(), TEXTS, "linear")


@pytest.mark.parametrize(
    ("detector", "kind", "match"),
    [
        ("diff_of_means", UsageProblem, "must be 'linear' or 'mlp', or a function"),
        (7, UsageProblem, "must be a function"),
        (lambda train, labels, every: labels, UsageProblem, r"returned scores of shape \(140,\) for 400 activations"),
        (lambda train, labels, every: np.full(len(every), np.nan), NonFiniteMeasurement, "is nan"),
    ],
)
def test_impossible_detectors_are_named(detector: Any, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        assert_beats_diff_of_means(KNOWING, TEXTS, detector)


def test_an_impossible_delta_is_named() -> None:
    with pytest.raises(UsageProblem, match="delta=1"):
        assert_beats_diff_of_means(KNOWING, TEXTS, "linear", delta=1)
