"""``assert_induction`` decides rightly on models whose induction is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from measures.small import gpt2, mamba
from oracles import induction_gpt2, induction_llama, order_blind

from interp_assert.assertions import InterpAssertionError, NotApplicable, assert_induction
from interp_assert.assertions.induction import DEFAULTS
from interp_assert.errors import UsageProblem
from interp_assert.models import Model, load, wrap
from interp_assert.stats import Budget, ErrorLevels, Outcome

from .outcome import control, verdict_of

CONTROLS = ["shuffled", "unrepeated", "random_weights"]


@pytest.fixture(scope="module")
def copier() -> Model:
    """O1 at a high setting of its dial: induction, exactly."""
    return wrap(induction_gpt2.build(12.0), id="oracle:gpt2")


@pytest.mark.parametrize("floor", [None, 0.5, 0.9])
def test_a_model_with_induction_passes_with_every_control(copier: Model, floor: float | None) -> None:
    verdict = assert_induction(copier, floor=floor)
    assert verdict.outcome is Outcome.PASS
    assert [c.name for c in verdict.controls] == CONTROLS
    assert all(c.outcome is Outcome.PASS and c.required for c in verdict.controls)
    assert verdict.threshold == (0.05 if floor is None else floor)
    assert verdict.estimate == 1.0
    assert verdict.interval is not None
    assert verdict.interval[0] > verdict.threshold
    assert verdict.check == "circuits/induction"
    assert verdict.layer is None


def test_details_hold_the_whole_profile_in_builtins(copier: Model) -> None:
    verdict = assert_induction(copier, twins=2)
    details = verdict.details
    assert details["accuracy"] == 1.0
    assert details["chance"] == 1 / 20
    assert details["times_chance"] == 20.0
    assert details["shuffled"] == details["unrepeated"] == 0.0
    assert details["nll_gain"] == pytest.approx(details["nll_first"] - details["nll_second"])
    assert details["bos"] == 0
    best = details["prefix_matching"]["best_heads"][0]
    assert (best["block"], best["head"]) == induction_gpt2.INDUCTION_HEAD
    assert best["score"] == pytest.approx(0.9998, abs=1e-4)
    assert best["control"] == pytest.approx(0.0329, abs=1e-4)
    assert [row["block"] for row in details["by_block"]] == [0, 1]
    assert control(verdict, "random_weights").details["scheme"] == DEFAULTS.scheme
    assert control(verdict, "random_weights").details["seed"] == 0
    assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["details"]["chance"] == 0.05


def test_the_llama_oracle_passes_too() -> None:
    assert assert_induction(wrap(induction_llama.build(12.0)), floor=0.9, twins=2).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "broken",
    [
        {"beta": 12.0, "copies": False},
        {"beta": 12.0, "previous_beta": 0.0},
        {"beta": 0.0},
    ],
    ids=["attends without copying", "flat previous-token head", "flat induction head"],
)
@pytest.mark.parametrize("floor", [None, 0.5])
def test_the_broken_circuits_fail(broken: dict[str, Any], floor: float | None) -> None:
    with pytest.raises(InterpAssertionError) as failure:
        assert_induction(wrap(induction_gpt2.build(**broken)), floor=floor, twins=2)
    assert failure.value.verdict.outcome is Outcome.FAIL


@pytest.mark.parametrize(("floor", "claim"), [(None, Outcome.FAIL), (0.1, Outcome.PASS)])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_order_blind_model_does_not_pass(floor: float | None, claim: Outcome, seed: int) -> None:
    """It beats 1/n fourfold, and a floor of 0.1, but it does as well on the shuffled copy."""
    verdict = verdict_of(assert_induction, wrap(order_blind.build(seed)), floor=floor, seed=seed, budget=1024)
    assert verdict.claim_outcome is claim
    assert verdict.outcome is Outcome.FAIL
    assert control(verdict, "shuffled").outcome is Outcome.FAIL
    assert control(verdict, "unrepeated").outcome is Outcome.PASS


@pytest.mark.parametrize("make", [gpt2, mamba])
@pytest.mark.parametrize("floor", [None, 0.5])
def test_random_weights_fail(make: Any, floor: float | None) -> None:
    assert verdict_of(assert_induction, make(), floor=floor, twins=2).outcome is Outcome.FAIL


@pytest.mark.parametrize("seed", range(3))
def test_random_models_of_any_seed_do_not_pass(seed: int) -> None:
    verdict = verdict_of(assert_induction, gpt2(seed), floor=0.0, seed=seed, twins=2, budget=64)
    assert verdict.outcome is not Outcome.PASS


def test_a_floor_above_the_accuracy_fails_and_near_it_is_inconclusive() -> None:
    model = wrap(order_blind.build())
    assert verdict_of(assert_induction, model, floor=0.5, twins=2).claim_outcome is Outcome.FAIL
    near = verdict_of(assert_induction, model, floor=0.19, budget=64, twins=2)
    assert near.outcome is Outcome.INCONCLUSIVE
    assert near.n == 64


def test_undecided_says_how_many_clusters_it_would_take(copier: Model) -> None:
    with pytest.raises(InterpAssertionError, match="would probably need") as failure:
        assert_induction(copier, floor=0.9, budget=8, twins=2)
    verdict = failure.value.verdict
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.n == 8
    assert verdict.needed is not None
    assert assert_induction(copier, floor=0.9, budget=verdict.needed).outcome is Outcome.PASS


def test_a_seed_replays_and_a_larger_budget_only_goes_on(copier: Model) -> None:
    model = wrap(order_blind.build())
    first, again = (verdict_of(assert_induction, model, seed=7, twins=2).as_dict() for _ in range(2))
    for record in (first, again):
        record.pop("seconds")
    assert first == again
    small = verdict_of(assert_induction, model, floor=0.18, budget=64, twins=2)
    large = verdict_of(assert_induction, model, floor=0.18, budget=128, twins=2)
    assert large.measurements[0].clusters[:64] == small.measurements[0].clusters
    assert large.measurements[0].values[:64].tolist() == small.measurements[0].values.tolist()


def test_the_gates_stop_counts_not_the_batch(copier: Model) -> None:
    verdict = assert_induction(copier, floor=0.5, twins=2)
    assert verdict.n < DEFAULTS.first_batch
    assert verdict.details["clusters_measured"] == DEFAULTS.first_batch
    assert control(verdict, "random_weights").n == DEFAULTS.twin_clusters


def test_twins_are_compared_on_the_same_first_clusters_however_long_the_gates_took() -> None:
    verdict = verdict_of(assert_induction, wrap(order_blind.build()), twins=2)
    assert verdict.n > DEFAULTS.twin_clusters
    twins = control(verdict, "random_weights")
    assert twins.n == DEFAULTS.twin_clusters
    assert twins.details["model_score"] == pytest.approx(verdict.measurements[0].head(64).estimate)


def test_one_twin_is_advisory(copier: Model) -> None:
    verdict = assert_induction(copier, twins=1)
    assert not control(verdict, "random_weights").required
    assert verdict.outcome is Outcome.PASS


def test_error_levels_are_used_and_recorded(copier: Model) -> None:
    strict = ErrorLevels(pass_=1e-6, fail=1e-6, control=1e-6)
    verdict = verdict_of(assert_induction, copier, levels=strict, floor=0.5, twins=2)
    assert verdict.levels == strict
    assert verdict.n > assert_induction(copier, floor=0.5, twins=2).n


def test_a_short_context_or_a_small_vocabulary_is_not_applicable(copier: Model) -> None:
    with pytest.raises(NotApplicable, match=r"81 tokens do not fit its context of 64; use n <= 31"):
        assert_induction(copier, n=40)
    with pytest.raises(NotApplicable, match="2n = 40 distinct ordinary token ids, the vocabulary has 29") as failure:
        assert_induction(gpt2(vocab_size=30))
    assert failure.value.verdict.outcome is Outcome.NOT_APPLICABLE
    assert failure.value.verdict.reason


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"floor": 1.0}, r"floor=1.0 must be a number of at least 0 and below 1"),
        ({"floor": float("nan")}, "floor=nan"),
        ({"floor": "high"}, "floor='high'"),
        ({"margin": -0.1}, "margin=-0.1"),
        ({"n": 1}, "n = 1 tokens per copy"),
        ({"n": "many"}, "n = 'many' tokens per copy"),
        ({"seed": 2**63}, r"seed=9223372036854775808 must be .* below 2\*\*63"),
        ({"seed": -1}, "seed=-1"),
        ({"budget": "huge"}, "unknown budget 'huge'"),
        ({"budget": 0}, "0 clusters"),
        ({"twins": 0}, "twins=0 .* mandatory"),
        ({"scheme": "sorcery"}, "sorcery"),
        ({"levels": 0.01}, "must be an ErrorLevels"),
    ],
)
def test_impossible_requests_are_named(copier: Model, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageProblem, match=match):
        assert_induction(copier, **options)


def test_a_bare_module_is_refused_with_the_remedy(copier: Model) -> None:
    with pytest.raises(UsageProblem, match=r"wrap\(module\)"):
        assert_induction(copier.module)  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", ["quick", Budget.named("quick"), 128])
def test_budgets_by_name_object_or_number(copier: Model, budget: Budget | str | int) -> None:
    assert assert_induction(copier, budget=budget, twins=2).details["budget"]["clusters"] == 128


@pytest.mark.shared
@pytest.mark.parametrize("floor", [None, 0.5])
def test_a_real_model_without_induction_fails(shared: Path, floor: float | None) -> None:
    verdict = verdict_of(assert_induction, load(str(shared / "models" / "stories260k")), floor=floor)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.details["accuracy"] < verdict.details["chance"]
    assert verdict.details["prefix_matching"]["best_heads"][0]["score"] < 0.1
    assert 10 < verdict.details["nll_second"] < verdict.details["nll_first"] < 14


def test_a_settings_line_repeats_the_claim_as_it_was_made(tmp_path: Path) -> None:
    gpt2(vocab_size=30).module.save_pretrained(tmp_path)
    with pytest.raises(NotApplicable) as plain:
        assert_induction(load(f"m={tmp_path}"))
    assert plain.value.verdict.details["reproduce"] == "assert_induction(load('m'), margin=0.05, n=20, seed=0)"
    with pytest.raises(NotApplicable) as changed:
        assert_induction(load(f"m={tmp_path}"), budget="quick", twins=2, levels=ErrorLevels(fail=0.01))
    assert changed.value.verdict.details["reproduce"].endswith(
        "seed=0, budget='quick', levels=ErrorLevels(pass_=0.01, fail=0.01, control=0.01), twins=2)"
    )
    with pytest.raises(NotApplicable) as counted:
        assert_induction(load(f"m={tmp_path}"), budget=7)
    assert counted.value.verdict.details["reproduce"].endswith("seed=0, budget=7)")
