"""``assert_measured`` decides rightly on scores whose distribution is known."""

from __future__ import annotations

import json
from math import inf
from typing import Any

import numpy as np
import pytest
from measures.small import gpt2

from interp_assert.assertions import NotApplicable, assert_measured, recording
from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.measures import OwnMeasurement, measurement
from interp_assert.models import Model
from interp_assert.prompts import Endless
from interp_assert.stats import Outcome

from .outcome import control, verdict_of

MODEL = gpt2()


def scored(
    score: float,
    *,
    twin: float = 0.02,
    null: float | None = None,
    spread: float = 0.05,
    prompts: Any = None,
    **options: Any,
) -> OwnMeasurement:
    """A measurement whose score, on the model, on its twins and on null inputs, is known up to noise."""

    @measurement(
        "mine/score",
        prompts=prompts if prompts is not None else lambda model, seed: Endless(lambda rng: float(rng.normal()), seed),
        null=None if null is None else lambda prompt, rng: ("null", float(rng.normal())),
        **options,
    )
    def measure(model: Model, prompts: list[Any]) -> list[float]:
        """It scores"""
        values = []
        for prompt in prompts:
            is_null = isinstance(prompt, tuple)
            mean = null if is_null else twin if "~" in model.id else score
            noise = prompt[1] if is_null else prompt
            values.append(mean + spread * noise)
        lo, hi = options.get("lo", 0.0), options.get("hi", 1.0)
        return np.clip(values, lo, hi).tolist()

    return measure


def decided(measure: OwnMeasurement, **options: Any) -> Outcome:
    return verdict_of(assert_measured, measure, MODEL, twins=3, **options).outcome


@pytest.mark.parametrize(("floor", "outcome"), [(0.5, Outcome.PASS), (0.7, Outcome.FAIL), (0.6, Outcome.INCONCLUSIVE)])
def test_a_floor_is_decided_by_the_mean(floor: float, outcome: Outcome) -> None:
    assert decided(scored(0.6), floor=floor, budget=128) is outcome


@pytest.mark.parametrize(("null", "outcome"), [(0.4, Outcome.PASS), (0.6, Outcome.FAIL)])
def test_without_a_floor_the_null_input_is_what_it_is_compared_with(null: float, outcome: Outcome) -> None:
    verdict = verdict_of(assert_measured, scored(0.6, null=null), MODEL, twins=3)
    assert verdict.outcome is outcome
    assert verdict.threshold == 0.05
    assert verdict.estimate == pytest.approx(0.6 - null, abs=0.02)
    assert control(verdict, "null input").details["is_claim"]
    assert verdict.details["null"] == pytest.approx(null, abs=0.02)


def test_with_a_floor_the_null_input_is_a_required_control() -> None:
    verdict = verdict_of(assert_measured, scored(0.6, null=0.6), MODEL, floor=0.3, twins=3)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.claim_outcome is Outcome.PASS
    assert "control null input does as well as the model" in verdict.reason


def test_twins_that_score_as_well_refuse_it() -> None:
    verdict = verdict_of(assert_measured, scored(0.6, twin=0.6, null=0.1), MODEL, twins=3)
    assert verdict.outcome is not Outcome.PASS
    assert verdict.claim_outcome is Outcome.PASS
    assert control(verdict, "random_weights").outcome is not Outcome.PASS


def test_where_lower_is_better_everything_is_turned() -> None:
    lower: dict[str, Any] = {"direction": "lower"}
    assert decided(scored(0.2, twin=0.9, null=0.7, **lower)) is Outcome.PASS
    assert decided(scored(0.2, twin=0.9, null=0.7, **lower), limit=0.3) is Outcome.PASS
    assert decided(scored(0.2, twin=0.9, null=0.7, **lower), limit=0.1) is Outcome.FAIL
    assert decided(scored(0.7, twin=0.9, null=0.2, **lower)) is Outcome.FAIL


def test_a_score_without_bounds_is_decided_by_the_share_of_prompts() -> None:
    unbounded: dict[str, Any] = {"lo": -inf, "hi": inf, "unit": "nats", "spread": 1.0}
    verdict = verdict_of(assert_measured, scored(3.0, twin=0.0, **unbounded), MODEL, floor=1.0, twins=3)
    assert verdict.outcome is Outcome.PASS
    assert verdict.threshold == 0.5
    assert verdict.estimate == pytest.approx(0.97, abs=0.05)
    assert verdict.details["quantity"] == "share above 1 nats"
    assert "in more than 0.5 of the prompts, nats is above 1" in verdict.claim
    assert decided(scored(3.0, twin=0.0, **unbounded), floor=4.0) is Outcome.FAIL
    assert decided(scored(3.0, twin=0.0, **unbounded), floor=1.0, share=0.999, budget=64) is Outcome.INCONCLUSIVE
    assert decided(scored(3.0, twin=0.0, null=0.0, **unbounded)) is Outcome.PASS
    assert decided(scored(0.0, twin=0.0, null=3.0, **unbounded)) is Outcome.FAIL
    assert decided(scored(-3.0, twin=0.0, **unbounded, direction="lower"), limit=-1.0) is Outcome.PASS


def test_a_list_drawn_to_its_end_is_decided_about_that_list() -> None:
    tiny = np.arange(12) * 1e-12  # a prompt that is given twice would be refused
    prompts = [*tiny.tolist(), *(1.0 + tiny).tolist()]
    exact = scored(0.5, prompts=prompts, spread=0.1, twin=0.01)
    verdict = verdict_of(assert_measured, exact, MODEL, floor=0.55, twins=3)
    assert (verdict.outcome, verdict.n, verdict.estimate) == (Outcome.PASS, 24, pytest.approx(0.55))


def test_too_few_prompts_are_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="7 prompts could be made for it, at least 20 are needed"):
        assert_measured(scored(0.9, prompts=lambda model, seed: list(range(7))), MODEL, floor=0.5)
    with pytest.raises(UsageProblem, match="mine/score: a list of 7 prompts; at least 20 are needed"):
        assert_measured(scored(0.9, prompts=list(range(7))), MODEL, floor=0.5)


def test_a_site_that_the_model_lacks_is_not_applicable() -> None:
    @measurement("mine/state", prompts=[[1, 2, k] for k in range(20)])
    def state(model: Model, prompts: list[Any]) -> Any:
        return model.trace(prompts, ["blocks.0.state"])["blocks.0.state"]

    with pytest.raises(NotApplicable, match=r"blocks\.0\.state"):
        assert_measured(state, MODEL, floor=0.5)


def test_values_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(NonFiniteMeasurement, match="nan"):
        assert_measured(scored(float("nan")), MODEL, floor=0.5)


def test_what_is_trained_is_trained_once_on_the_model_and_anew_on_every_twin() -> None:
    trained: list[str] = []

    def train(model: Model, seed: int) -> str:
        trained.append(model.id)
        return model.id

    @measurement("mine/trained", prompts=list(range(100)), train=train)
    def measure(model: Model, prompts: list[Any], made: str) -> list[float]:
        assert made == model.id
        return [0.1 if "~" in model.id else 0.9] * len(prompts)

    verdict = verdict_of(assert_measured, measure, MODEL, floor=0.5, twins=2)
    assert trained == [MODEL.id, f"{MODEL.id}~resample#0", f"{MODEL.id}~resample#1"]
    assert verdict.claim_outcome is Outcome.PASS


def test_the_record_is_json_and_reaches_listeners_with_everything_in_it() -> None:
    heard: list[Any] = []
    with recording(heard.append):
        verdict = assert_measured(scored(0.6, null=0.1), MODEL, floor=0.5, twins=3, seed=4)
    assert heard == [verdict]
    record = json.loads(json.dumps(verdict.as_dict(), allow_nan=False))
    assert record["check"] == "mine/score"
    assert record["claim"] == "It scores: score is above 0.5"
    assert record["details"]["measure"] == {"name": "mine/score", "version": 1, "unit": "score"}
    assert [c["name"] for c in record["controls"]] == ["null input", "random_weights"]
    assert record["details"]["seed"] == 4
    assert [m.name for m in verdict.measurements] == ["mine/score", "mine/score on null input"]


def test_the_same_seed_gives_the_same_verdict_and_another_one_others() -> None:
    def values(seed: int) -> list[float]:
        verdict = verdict_of(assert_measured, scored(0.6), MODEL, floor=0.5, twins=2, seed=seed)
        return [verdict.estimate, *control(verdict, "random_weights").details["twin_scores"]]  # type: ignore[list-item]

    assert values(1) == values(1)
    assert values(1) != values(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "has no null input to be compared with: give floor="),
        ({"limit": 0.5}, "higher is better, so give floor= instead of limit="),
        ({"floor": 2.0}, "must be a number in the range of the score"),
        ({"floor": float("nan")}, "must be a number in the range"),
        ({"null": 0.1, "margin": -0.1}, "margin=-0.1 must be 0 or more"),
        ({"floor": 0.5, "margin": 0.1}, "margin=0.1 is over the null input, which it does not have"),
        ({"lo": -inf, "floor": 0.5, "share": 1.0}, "share=1.0 must be a number above 0 and below 1"),
        ({"floor": 0.5, "share": 0.9}, "share=0.9 is for scores without a finite range"),
        ({"floor": 0.5, "twins": 0}, "twins=0 must be"),
        ({"floor": 0.5, "scheme": "sorcery"}, "sorcery"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    declared = {name: options[name] for name in ("null", "lo") if name in options}
    asked = {name: value for name, value in options.items() if name not in declared}
    with pytest.raises(UsageProblem, match=message):
        assert_measured(scored(0.6, **declared), MODEL, **{"twins": 2, **asked})


def test_a_bare_function_is_no_measurement() -> None:
    with pytest.raises(UsageProblem, match=r"put @measurement\('mine/quantity'"):
        assert_measured(lambda model, prompts: prompts, MODEL, floor=0.5)  # type: ignore[arg-type]
