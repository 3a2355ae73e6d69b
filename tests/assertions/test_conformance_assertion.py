"""``assert_conforms``: an identity that holds on every input tried, or the smallest input on which it does not."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from math import inf
from typing import Any

import pytest
import torch
from conformance import broken
from models.tiny import build

from interp_assert import InterpAssertionError, NotApplicable, assert_conforms, load
from interp_assert.assertions.recording import recording
from interp_assert.errors import EmptyBatch, TokenOutOfRange, UsageProblem
from interp_assert.models import Model, edits, wrap
from interp_assert.stats import Outcome, Verdict

from .outcome import verdict_of


@pytest.fixture(scope="module")
def healthy() -> Model:
    return broken.healthy()


def test_a_pass_says_how_many_inputs_were_tried_and_how_large_rounding_was(healthy: Model) -> None:
    verdict = assert_conforms(healthy, "batch_invariance", budget="standard")
    assert verdict.outcome is verdict.claim_outcome is Outcome.PASS
    assert (verdict.check, verdict.n, verdict.levels, verdict.controls) == ("anatomy/batch_invariance", 8, None, ())
    assert verdict.estimate is not None
    assert verdict.threshold is not None
    assert 0 <= verdict.estimate <= verdict.threshold < 1e-4
    assert verdict.cost.forward_passes > 8
    record = verdict.as_dict()
    assert record["levels"] is None
    json.dumps(record, allow_nan=False)


def test_a_failure_names_identity_place_size_and_the_smallest_input() -> None:
    with pytest.raises(InterpAssertionError) as failure:
        assert_conforms(broken.foresees(60), "causality", budget="quick")
    verdict = failure.value.verdict
    assert (verdict.outcome, verdict.layer) == (Outcome.FAIL, "blocks.0.resid_pre")
    assert verdict.details["example"] == {"ids": [[3, 60]], "position": 1}
    lines = str(failure.value).splitlines()
    assert lines[0] == (
        "anatomy/causality FAIL: another token at position 1 moves what is before it (relative difference "
        f"{verdict.estimate:.2g}, limit {verdict.threshold:.2g}) for tiny (blocks.0.resid_pre), n = {verdict.n} inputs"
    )
    assert "  claim      a change at a position moves nothing before it, on every input that is tried" in lines
    assert "  input      ids=[[3, 60]], position=1" in lines
    assert any(line.startswith("  rounding   ") and "too much for rounding" in line for line in lines)
    assert not any(line.startswith(("  levels", "  measured")) for line in lines)
    assert str(pickle.loads(pickle.dumps(failure.value))) == str(failure.value)


def test_ids_of_ones_own_are_checked_alone(healthy: Model) -> None:
    ids = torch.arange(10, 30).reshape(2, 10)
    verdict = assert_conforms(healthy, "anatomy/causality", ids=ids, position=4)
    assert (verdict.n, verdict.outcome) == (1, Outcome.PASS)
    seen = verdict_of(assert_conforms, broken.foresees(28), "causality", ids=ids)
    assert seen.outcome is Outcome.FAIL
    assert "position 8" in seen.reason  # the first of those with id 28 or higher
    edited = assert_conforms(healthy, "foreign_rows", ids=ids, position=1, edit=edits.scale(-2.0))
    assert edited.outcome is Outcome.PASS


def test_what_is_shown_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    from interp_assert.conformance import CHECKS, Comparison, Seen

    model = load("zoo:gpt2")
    monkeypatch.setattr(
        type(CHECKS["foreign_rows"]),
        "on",
        lambda self, passes, example: self._judge(
            passes, example, Comparison([Seen("logits", 0.5, "it moves", exact=True)])
        ),
    )
    verdict = verdict_of(assert_conforms, model, "foreign_rows", budget="quick")
    assert verdict.details["reproduce"].startswith("assert_conforms(load('zoo:gpt2'), 'foreign_rows', ids=[[")
    assert verdict.details["reproduce"].endswith("position=1, edit=edits.scale(-1.0))")
    again = eval(verdict.details["reproduce"].replace("assert_conforms(", "verdict_of(assert_conforms, "))
    assert again.outcome is Outcome.FAIL


def test_what_the_model_raises_is_a_failure_with_its_cause() -> None:
    with pytest.raises(InterpAssertionError) as failure:
        assert_conforms(broken.dead_hook(), "write_back", budget="quick")
    verdict = failure.value.verdict
    assert (verdict.estimate, verdict.threshold, verdict.layer) == (None, None, None)
    assert "SiteNotAvailable: The hook of 'blocks.1.mlp.neurons' never fired" in str(failure.value).splitlines()[0]
    assert type(failure.value.__cause__).__name__ == "SiteNotAvailable"


def test_values_that_are_not_finite_fail() -> None:
    module: Any = build("llama")
    model = wrap(module, id="tiny")
    assert model.anatomy.has("logits")  # which would not be opened if it made nothing but NaN
    module.model.norm.register_forward_hook(lambda _module, _args, out: out * float("nan"))
    verdict = verdict_of(assert_conforms, model, "determinism", budget="quick")
    assert (verdict.outcome, verdict.estimate) == (Outcome.FAIL, None)
    assert "not finite" in verdict.reason


def test_a_model_without_what_is_spoken_of_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="has no attention patterns"):
        assert_conforms(wrap(build("mamba2"), id="tiny"), "attention")


def test_a_trap_that_was_avoided_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from interp_assert.conformance import CHECKS, Comparison, Trap

    trap = Trap("it is off by one", "it moves", 0.5, "with one added", 1e-7)
    monkeypatch.setattr(
        type(CHECKS["chain"]), "on", lambda self, passes, example: self._judge(passes, example, Comparison([], (trap,)))
    )
    verdict = assert_conforms(wrap(build("llama"), id="tiny"), "chain", budget="quick")
    assert verdict.details["traps"] == ["it is off by one: it moves (relative difference 0.5; with one added: 1e-07)"]
    assert "it moves (other shapes; with one added" in str(replace(trap, size=inf))


@pytest.mark.parametrize("check", ["causality", "batch_invariance"])
def test_the_verdict_depends_on_the_seed_and_the_budget_only(check: str, healthy: Model) -> None:
    def story(seed: int) -> tuple[object, ...]:
        verdict = assert_conforms(healthy, check, budget="quick", seed=seed)
        return verdict.estimate, verdict.layer, verdict.n, verdict.cost.tokens

    assert story(3) == story(3)
    assert story(3) != story(4)


def test_verdicts_are_recorded_whether_they_pass_or_not(healthy: Model) -> None:
    heard: list[Verdict] = []
    with recording(heard.append):
        assert_conforms(healthy, "chain", budget="quick")
        verdict_of(assert_conforms, broken.shifted("resid_post", 1)(), "chain", budget="quick")
    assert [verdict.outcome for verdict in heard] == [Outcome.PASS, Outcome.FAIL]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"check": "nonsense"}, UsageProblem, "no check 'nonsense'; there are determinism, batch_invariance"),
        ({"check": "chain", "ids": [[1000, 3]]}, TokenOutOfRange, "Token id 1000"),
        ({"check": "chain", "ids": []}, EmptyBatch, "at least one row"),
        ({"check": "causality", "ids": [[5]]}, UsageProblem, "compares 2 positions at least, and the ids have 1"),
        ({"check": "batch_invariance", "ids": [[5, 6]]}, UsageProblem, "compares 2 rows at least"),
        ({"check": "chain", "seed": -1}, UsageProblem, "seed=-1"),
        ({"check": "chain", "budget": "huge"}, UsageProblem, "unknown budget 'huge'"),
    ],
)
def test_impossible_requests_are_refused(
    arguments: dict[str, Any], error: type[Exception], said: str, healthy: Model
) -> None:
    with pytest.raises(error, match=said):
        assert_conforms(healthy, **arguments)


def test_the_model_is_left_as_it_was(healthy: Model) -> None:
    for check in ("overwriting", "foreign_rows", "cache_stepping", "blocks"):
        assert_conforms(healthy, check, budget="quick")
    healthy.verify_unchanged()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in healthy.module.modules())
