"""``assert_drift_below`` on trained models: two fine-tunes of a Transformer, earlier checkpoints of a state-space model
and of a hybrid, random weights in place of recurrent ones.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch

from interp_assert import assert_drift_below, assert_induction, load
from interp_assert.assertions import InterpAssertionError
from interp_assert.models import Model, twins, wrap
from interp_assert.prompts import Statement, statements
from interp_assert.stats import Outcome

from .outcome import control, verdict_of

CONTINENTS = tuple(statements(["continent"]))
FEW: dict[str, Any] = {"facts": CONTINENTS, "probes": (), "twins": 2, "length": 16}
"""what keeps a test quick where nothing else is asked"""


@cache
def zoo(name: str) -> Model:
    return load(f"zoo:{name}")


def claim(verdict: Any, name: str) -> dict[str, Any]:
    return next(claim for claim in verdict.details["claims"] if claim["claim"] == name)


class TestFineTunes:
    def test_the_benign_one_moved_by_more_than_rounding_and_less_than_sensible_limits(self) -> None:
        """Its claims are held in the suite's test."""
        verdict = assert_drift_below(zoo("gpt2-tuned"), zoo("gpt2"), total_variation=0.2, **FEW)
        assert verdict.outcome is Outcome.PASS
        assert verdict.details["flipped"] == []
        floor, output = verdict.details["noise_floor"], verdict.details["output"]
        assert floor["total_variation"] < output["total_variation"] < 0.1
        rounding, residual = ([row[key] for row in verdict.details["by_block"]] for key in ("rounding", "residual"))
        assert all(floor < moved < 0.2 for floor, moved in zip(rounding, residual, strict=True))

    def test_the_other_is_blocked_and_says_what_moved_and_what_flipped(self) -> None:
        with pytest.raises(InterpAssertionError) as caught:
            assert_drift_below(zoo("gpt2-tuned-forgot"), zoo("gpt2"), **FEW)
        verdict = caught.value.verdict
        assert (verdict.check, verdict.outcome) == ("drift/claims", Outcome.FAIL)
        assert verdict.details["flipped"] == ["circuits/induction"]
        lost = claim(verdict, "circuits/induction")
        assert lost["base"] > 0.9 > 0.1 > lost["model"]
        assert verdict.reason.endswith(f"flipped: circuits/induction ({lost['change']})")
        shown = str(caught.value)
        for words in (
            "residual           moved from the embedding on, most at block 1: ",
            "heads              moved most (block.head as in sites, from 0): ",
            "circuits/induction accuracy 0.9",
            "claim PASS -> no longer shown: FLIPPED",
        ):
            assert words in shown
        by_block = [row["residual"] for row in verdict.details["by_block"]]
        assert min(by_block[1:]) > 2 * by_block[0], "the blocks moved, not the embedding"
        assert verdict_of(assert_induction, zoo("gpt2-tuned-forgot"), twins=1, budget=128).outcome is not Outcome.PASS

    def test_on_ordinary_text_it_shows_less_than_one_would_think(self) -> None:
        """Why claims are compared: what predicts the base's own documents hardly worse has lost induction."""
        verdict = assert_drift_below(zoo("gpt2-tuned-forgot"), zoo("gpt2"), total_variation=0.1, **FEW)
        assert verdict.outcome is Outcome.PASS
        assert verdict.details["flipped"] == ["circuits/induction"], "told all the same"

    def test_what_another_claim_has_read_changes_no_details(self) -> None:
        pair = wrap(zoo("gpt2-tuned").module, zoo("gpt2").tokenizer, id="again"), zoo("gpt2")
        alone = verdict_of(assert_drift_below, *pair, weights=0.1, **FEW).details["by_text"]
        verdict_of(assert_drift_below, *pair, by_text=0.05, **FEW)
        after = verdict_of(assert_drift_below, *pair, weights=0.1, **FEW).details["by_text"]
        assert alone is None
        assert after is None

    def test_answers_that_changed_are_named(self) -> None:
        base = zoo("gpt2")
        broken = wrap(copy.deepcopy(base.module), base.tokenizer, id="broken")
        with torch.no_grad():
            broken.module.transformer.h[-1].mlp.c_proj.weight.mul_(-2.0)  # type: ignore[union-attr,operator]
        verdict = verdict_of(assert_drift_below, broken, base, **FEW)
        answers = claim(verdict, "facts")
        assert answers["flipped"]
        assert answers["lost"] > 20
        change = answers["changed"][0]
        assert change["base"] != change["model"]
        assert change["prompt"]

    def test_facts_of_ones_own(self) -> None:
        asked = [Statement(f"e{i}", "r", "t", "The capital of France is", "Paris") for i in range(25)]
        verdict = assert_drift_below(zoo("gpt2-tuned"), zoo("gpt2"), budget=256, **FEW | {"facts": asked, "twins": 1})
        assert claim(verdict, "facts")["facts"] == 25

    def test_facts_that_only_one_can_be_asked(self) -> None:
        asked = [Statement(f"e{i}", "r", "t", "The capital of France is", "Paris") for i in range(3)]
        verdict = verdict_of(assert_drift_below, zoo("gpt2-tuned"), zoo("gpt2"), budget=64, **FEW | {"facts": asked})
        told = claim(verdict, "facts")["told"]
        assert told.startswith("not compared: the base answers facts about 3 entities, at least 20 are needed; 3 facts")


class TestTheBudget:
    def test_one_that_cannot_do_says_so_before_all_else(self) -> None:
        """Even if nothing were lost, a loss below .05 takes 146 sequences; `quick` allows 128."""
        verdict = verdict_of(assert_drift_below, zoo("gpt2-tuned"), zoo("gpt2"), budget="quick", **FEW)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert verdict.reason.startswith(
            "the budget quick (128 clusters) cannot establish circuits/induction lost < 0.05, whatever the model does: "
            "that takes 146 clusters even if nothing has changed, standard (512) would; or choose a wider limit; "
            "not decided: circuits/induction lost"
        )
        assert verdict.needed is not None
        assert verdict.needed >= 146

    def test_but_refutes_it(self) -> None:
        verdict = verdict_of(assert_drift_below, zoo("gpt2-tuned-forgot"), zoo("gpt2"), budget="quick", **FEW)
        assert verdict.outcome is Outcome.FAIL

    def test_and_identical_weights_need_none(self) -> None:
        """Nothing is sampled of what is certain."""
        again = wrap(zoo("gpt2").module, zoo("gpt2").tokenizer, id="again")
        verdict = assert_drift_below(again, zoo("gpt2"), budget="quick", claims_lost=0.05, residual=0.01, **FEW)
        assert verdict.outcome is Outcome.PASS
        assert verdict.details["output"] == {"total_variation": 0.0, "kl": 0.0, "agreement": 1.0}


class TestOtherArchitectures:
    @pytest.mark.parametrize("name", ["mamba", "falcon_h1"])
    def test_an_earlier_checkpoint_lacks_what_the_last_one_can(self, name: str) -> None:
        early, last = zoo(f"{name}@800"), zoo(name)
        verdict = verdict_of(assert_drift_below, early, last, **FEW)
        assert verdict.outcome is Outcome.FAIL
        assert "circuits/induction" in verdict.details["flipped"]
        by_block = verdict.details["by_block"]
        assert [row["block"] for row in by_block] == ["embed", 1, 2, 3, 4]
        assert all(row["residual"] > 0.5 > 10 * row["rounding"] for row in by_block)
        assert ("heads" in verdict.details) == (name == "falcon_h1"), "a state space has no attention heads"

    @pytest.mark.parametrize("name", ["rwkv", "gru"])
    def test_random_weights_pass_no_limit_that_means_anything(self, name: str) -> None:
        """Also where it holds, as one of .99 does: the model's own twins are as near."""
        with twins(zoo(name), n=1) as untrained:
            twin = next(untrained)
            verdict = verdict_of(assert_drift_below, twin, zoo(name), **FEW)
            assert (verdict.outcome, verdict.details["flipped"]) == (Outcome.FAIL, ["facts"])
            limits = {"total_variation": 0.5, "residual": 0.5, "cka": 0.5, "weights": 0.5}
            verdict = verdict_of(assert_drift_below, twin, zoo(name), **limits, **FEW)
            judged = {limit["name"]: limit["verdict"] for limit in verdict.details["judged"]}
            assert set(judged.values()) == {"FAIL"}, judged
            verdict = verdict_of(assert_drift_below, twin, zoo(name), total_variation=0.999, **FEW)
            assert control(verdict, "random_weights").outcome is not Outcome.PASS
            assert verdict.outcome is not Outcome.PASS
