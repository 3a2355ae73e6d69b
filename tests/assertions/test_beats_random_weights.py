"""``assert_beats_random_weights`` around functions of every kind."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from measures.small import gpt2

from interp_assert.assertions import (
    InterpAssertionError,
    NotApplicable,
    assert_beats_random_weights,
    assert_lens_crossover,
)
from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.measures import measurement
from interp_assert.models import Model
from interp_assert.stats import BadMeasurement, ErrorLevels, Measurement, Outcome

from .outcome import verdict_of

MODEL = gpt2()


def is_twin(model: Model) -> bool:
    return "~" in model.id


def noise(model: Model, size: int) -> np.ndarray:
    return np.random.default_rng(crc32(model.id.encode())).normal(size=size)


def per_cluster(model: Model) -> np.ndarray:
    return np.clip((0.2 if is_twin(model) else 0.7) + 0.05 * noise(model, 40), 0, 1)


def test_one_value_per_cluster_within_a_range_is_compared_on_the_logit_scale() -> None:
    verdict = assert_beats_random_weights(per_cluster, MODEL, lo=0, hi=1)
    assert verdict.outcome is Outcome.PASS
    assert verdict.n == 40
    [control] = verdict.controls
    assert control.details["scale"] == "logit"
    assert control.details["twins"] == 5
    assert control.details["scheme"] == "resample"
    assert control.approximate
    assert verdict.details["quantity"] == "per_cluster"
    assert verdict.threshold is not None
    assert 0.2 < verdict.threshold < 0.7


def test_a_number_a_tensor_a_list_and_a_measurement_are_understood() -> None:
    def number(model: Model) -> float:
        return float(noise(model, 1)[0]) + (0.0 if is_twin(model) else 50.0)

    def tensor(model: Model) -> torch.Tensor:
        return torch.tensor(per_cluster(model)).requires_grad_()

    def listed(model: Model) -> list[float]:
        return [float(value) for value in per_cluster(model)]

    def measured(model: Model) -> Measurement:
        values = per_cluster(model)
        return Measurement("x", 1, tuple(map(str, range(len(values)))), values, 0, 1, "share", "higher")

    for measure in (number, tensor, listed, measured):
        assert assert_beats_random_weights(measure, MODEL).outcome is Outcome.PASS  # type: ignore[arg-type]


def test_a_model_that_is_one_more_twin_does_not_pass() -> None:
    def alike(model: Model) -> np.ndarray:
        return np.clip(0.5 + 0.05 * noise(model, 40), 0, 1)

    with pytest.raises(InterpAssertionError) as failure:
        assert_beats_random_weights(alike, MODEL, lo=0, hi=1)
    assert "out of reach" in str(failure.value) or "random weights" in str(failure.value)
    assert failure.value.verdict.outcome is not Outcome.PASS


def test_a_model_that_does_worse_than_its_twins_fails() -> None:
    verdict = verdict_of(assert_beats_random_weights, per_cluster, MODEL, lo=0, hi=1, direction="lower")
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason == "random weights do as well as the model"


def test_a_single_twin_decides_nothing_and_says_so() -> None:
    with pytest.raises(InterpAssertionError, match="a single twin shows no spread") as failure:
        assert_beats_random_weights(per_cluster, MODEL, twins=1, lo=0, hi=1)
    assert failure.value.verdict.outcome is Outcome.INCONCLUSIVE


def test_what_needs_training_is_trained_on_each_model() -> None:
    trained: list[str] = []

    def train(model: Model) -> str:
        trained.append(model.id)
        return model.id

    def measure(model: Model, made: str) -> np.ndarray:
        assert made == model.id
        return per_cluster(model)

    assert_beats_random_weights(measure, MODEL, train=train, twins=3, lo=0, hi=1)
    assert trained == [MODEL.id, *(f"{MODEL.id}~resample#{k}" for k in range(3))]


def test_a_decorated_measurement_is_taken_on_its_own_prompts() -> None:
    seen: list[int] = []

    @measurement("mine/score", prompts=list(range(100)))
    def mine(model: Model, prompts: list[Any]) -> np.ndarray:
        seen.append(len(prompts))
        return np.clip((0.2 if is_twin(model) else 0.7) + 0.05 * noise(model, len(prompts)), 0, 1)

    verdict = assert_beats_random_weights(mine, MODEL, twins=3, name="my score")
    assert verdict.outcome is Outcome.PASS
    assert verdict.details["quantity"] == "my score"
    assert seen == [64] * 4
    assert_beats_random_weights(mine, MODEL, twins=3, budget=40)
    assert seen[4:] == [40] * 4


def test_a_twin_that_cannot_be_measured_decides_nothing_and_is_named() -> None:
    def measure(model: Model) -> list[float]:
        return [float("nan")] * 3 if model.id.endswith("#1") else [1.0, 0.9, 1.0]

    verdict = verdict_of(assert_beats_random_weights, measure, MODEL, twins=3)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "twin 1 cannot be measured" in verdict.reason


def test_a_model_that_cannot_be_measured_is_an_error() -> None:
    with pytest.raises(NonFiniteMeasurement, match="measure is nan"):
        assert_beats_random_weights(lambda model: float("nan"), MODEL)


def test_a_site_that_the_model_lacks_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="state"):
        assert_beats_random_weights(lambda model: model.trace([[1, 2]], ["blocks.0.state"]), MODEL)


@pytest.mark.parametrize("returned", [None, "0.5", [None, 0.1], ["a"], {"a": 1}, object(), 1j])
def test_what_is_no_number_is_refused_as_what_it_is(returned: Any) -> None:
    with pytest.raises(BadMeasurement, match=rf"returned {type(returned).__name__}, which is no array of numbers"):
        assert_beats_random_weights(lambda model: returned, MODEL)


def test_a_measure_that_asserts_is_told_to_return_instead() -> None:
    def asserts(model: Model) -> float:
        assert_beats_random_weights(per_cluster, model, lo=0, hi=1, twins=2, direction="lower")
        return 1.0

    with pytest.raises(UsageProblem, match=r"asserts asserts, and failed on random-gpt2-0 \(controls/random_weights\)"):
        assert_beats_random_weights(asserts, MODEL)
    with pytest.raises(BadMeasurement, match="measure returns a verdict"):
        assert_beats_random_weights(lambda model: assert_beats_random_weights(per_cluster, model, lo=0, hi=1), MODEL)


def test_what_a_measure_finds_not_applicable_is_so_for_the_claim() -> None:
    def lacks(model: Model) -> float:
        return assert_lens_crossover(model).estimate or 0.0

    verdict = verdict_of(assert_beats_random_weights, lacks, MODEL)
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert verdict.check == "controls/random_weights"
    assert "it has no tokenizer" in verdict.reason


def test_scores_that_do_not_depend_on_the_weights_decide_nothing() -> None:
    """Such as those of a probe that was trained once, or of the prompts alone."""
    for measure, why in ((lambda model: 1.0, "the same on every twin shows no spread"), (lambda model: [1, 2, 3], "")):
        verdict = verdict_of(assert_beats_random_weights, measure, MODEL)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert why in verdict.reason
        assert verdict.details["quantity"] == "measure"


def test_model_and_twins_are_measured_on_the_same_prompts() -> None:
    with pytest.raises(UsageProblem, match=r"gives 40 values on random-gpt2-0 and 39 on random-gpt2-0~resample#0"):
        assert_beats_random_weights(lambda model: per_cluster(model)[is_twin(model) :], MODEL, lo=0, hi=1)


@pytest.mark.parametrize(
    ("measure", "options", "message"),
    [
        (3.0, {}, "must be a function"),
        (per_cluster, {"train": 3}, "train=3 must be a function"),
        (per_cluster, {"margin": "a"}, "margin='a' must be a number"),
        (per_cluster, {"lo": float("nan")}, "lo=nan must be a number"),
        (per_cluster, {"lo": 1, "hi": 0}, r"range \[1, 0\] is empty"),
        (per_cluster, {"direction": "up"}, "direction='up'"),
        (per_cluster, {"check": 3}, "check=3"),
        (per_cluster, {"name": 3}, "name=3"),
        (lambda model: 0.5, {"lo": 0, "hi": 1}, "return one value per cluster"),
        (per_cluster, {"scheme": "sorcery"}, "sorcery"),
        (per_cluster, {"twins": 0}, "twins=0"),
        (per_cluster, {"margin": -1.0}, "margin=-1.0"),
    ],
)
def test_impossible_arguments_are_refused(measure: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        assert_beats_random_weights(measure, MODEL, **options)


def test_the_level_is_that_of_controls() -> None:
    strict = assert_beats_random_weights(per_cluster, MODEL, lo=0, hi=1, levels=ErrorLevels(control=0.001))
    usual = assert_beats_random_weights(per_cluster, MODEL, lo=0, hi=1)
    assert strict.threshold is not None
    assert usual.threshold is not None
    assert strict.threshold > usual.threshold
