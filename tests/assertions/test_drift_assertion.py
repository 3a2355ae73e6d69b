"""``assert_drift_below``: which limits hold, which are refused, what is named, and what cannot be compared."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from measures.small import gpt2, mamba
from oracles import drift_gpt2, probe_gpt2
from prompts.words import metaspace_tokenizer

import interp_assert.assertions.drift.readings as readings
import interp_assert.measures.drift as drift_measure
from interp_assert import assert_drift_below
from interp_assert.assertions import InterpAssertionError, NotApplicable
from interp_assert.assertions.drift.gates import gated
from interp_assert.errors import ContextTooShort, NonFiniteMeasurement, UsageProblem
from interp_assert.measures import measure_text_drift
from interp_assert.models import Model, wrap
from interp_assert.prompts import statements
from interp_assert.stats import ErrorLevels, Outcome, Verdict

from .outcome import control, verdict_of

CONTINENTS = tuple(statements(["continent"]))
ROWS = drift_gpt2.rows(300)
RELATIVE = drift_gpt2.expected(ROWS[:64], 2.0).relative
WORST = int(np.argmax(RELATIVE))


@cache
def oracle() -> tuple[Model, Model]:
    """O9, tuned and base; opened once, for what is remembered of a pair cannot change what is decided."""
    return wrap(drift_gpt2.build(2.0), id="tuned"), wrap(drift_gpt2.build(), id="base")


@cache
def small(seed: int = 0, **config: Any) -> Model:
    """A random model that no test changes."""
    return gpt2(seed, **config)


@cache
def nearby(seed: int = 0, by: float = 0.01) -> tuple[Model, Model]:
    """A small model, and it with a little noise on its weights; no test changes them."""
    return fresh(seed, by)


def fresh(seed: int = 0, by: float = 0.01) -> tuple[Model, Model]:
    """The same, opened anew."""
    base, model = gpt2(seed), gpt2(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return model, base


def limit(verdict: Verdict, title: str) -> dict[str, Any]:
    return next(entry for entry in verdict.details["judged"] if entry["name"] == title)


class TestTheOracle:
    """O9: relative movement is ||delta|| / E||x|| from one block on, and nothing below it."""

    @pytest.mark.parametrize(("factor", "outcome"), [(1.2, Outcome.PASS), (0.8, Outcome.FAIL)])
    def test_a_limit_around_the_truth(self, factor: float, outcome: Outcome) -> None:
        tuned, base = oracle()
        verdict = verdict_of(
            assert_drift_below, tuned, base, residual=factor * float(RELATIVE[WORST]), texts=ROWS[:130], twins=1
        )
        assert verdict.claim_outcome is outcome
        assert (verdict.check, verdict.layer) == ("drift/residual", f"block {WORST}")
        low, high = verdict.interval or (0.0, 0.0)
        everywhere = drift_gpt2.expected(ROWS[:130], 2.0).relative[WORST]
        assert low < everywhere < high
        by_block = verdict.details["by_block"]
        assert [row["residual"] for row in by_block[: drift_gpt2.MOVED]] == [0.0] * drift_gpt2.MOVED
        assert [row["weights"] > 0 for row in by_block] == [False, False, False, True, False]
        assert verdict.details["profile"]["residual"].startswith(f"moved from block {drift_gpt2.MOVED} on")

    def test_where_nothing_moved_the_limit_holds_although_nothing_varies(self) -> None:
        """Below the tuned block the cosine is 1 in every document."""
        tuned, base = oracle()
        truth = float(drift_gpt2.expected(ROWS[:64], 2.0).cosine.mean(0).min())
        for value, outcome in ((truth - 0.1, Outcome.PASS), (truth + 0.03, Outcome.FAIL)):
            verdict = verdict_of(assert_drift_below, tuned, base, cosine=value, texts=ROWS[:130], twins=1)
            assert verdict.claim_outcome is outcome
            assert verdict.layer in ("block 3", "block 4")

    def test_total_variation_is_gated_on_the_list(self) -> None:
        tuned, base = oracle()
        rows = ROWS[:60]
        truth = float(drift_gpt2.expected(rows, 2.0).total_variation.mean())
        for factor, outcome in ((1.02, Outcome.PASS), (0.98, Outcome.FAIL)):
            verdict = verdict_of(assert_drift_below, tuned, base, total_variation=factor * truth, texts=rows, twins=1)
            assert verdict.claim_outcome is outcome, "a list that is drawn to its end is always decided"
            assert verdict.n <= 60

    def test_weights_need_no_text_and_no_statistics(self) -> None:
        tuned, base = oracle()
        for value, outcome in ((0.5, Outcome.PASS), (0.3, Outcome.FAIL)):
            verdict = verdict_of(assert_drift_below, tuned, base, weights=value, texts=ROWS[:8], twins=2)
            assert verdict.claim_outcome is outcome
            assert verdict.estimate == pytest.approx(2.0 / np.sqrt(32 + drift_gpt2.bias(3) @ drift_gpt2.bias(3)))
            assert verdict.layer == "block 3"


class TestIdenticalModels:
    def test_give_exactly_0_and_pass_every_limit(self) -> None:
        verdict = assert_drift_below(
            gpt2(5),
            gpt2(5),
            total_variation=0.01,
            agreement=0.99,
            kl=1e-6,
            residual=1e-6,
            cosine=0.999,
            cka=0.999,
            weights=1e-6,
            budget="quick",
            length=12,
        )
        assert verdict.outcome is Outcome.PASS
        assert verdict.details["output"] == {"total_variation": 0.0, "kl": 0.0, "agreement": 1.0}
        for row in verdict.details["by_block"]:
            assert (row["residual"], row["cosine"], row["CKA"], row["weights"]) == (0.0, 1.0, 1.0, 0.0)
        assert all("not one bit differed" in entry["note"] for entry in verdict.details["judged"])
        assert verdict.details["heads"] == verdict.details["neurons"] == []
        json.dumps(verdict.as_dict())

    def test_one_handle_against_itself(self) -> None:
        model = mamba()
        verdict = assert_drift_below(model, model, total_variation=0.05, residual=0.05, length=8, twins=3)
        assert verdict.outcome is Outcome.PASS
        assert control(verdict, "random_weights").outcome is Outcome.PASS


class TestLimits:
    def test_exact_and_approximate_ones_are_marked(self) -> None:
        model, base = nearby()
        verdict = verdict_of(
            assert_drift_below,
            model,
            base,
            length=12,
            total_variation=0.3,
            agreement=0.5,
            kl=0.5,
            residual=0.5,
            cka=0.5,
            twins=1,
        )
        marks = {entry["name"]: entry["approximate"] for entry in verdict.details["judged"]}
        assert marks == {
            "total variation": False,
            "top-1 agreement": False,
            "KL(base || model)": True,
            "relative residual movement": True,
            "residual CKA": True,
        }
        assert verdict.check == "drift/limits"
        assert verdict.details["noise_floor"]["through"] == "bfloat16"
        assert 0 < verdict.details["noise_floor"]["kl"] < verdict.details["output"]["kl"]

    def test_the_first_limit_that_failed_leads(self) -> None:
        model, base = nearby(by=0.05)
        with pytest.raises(InterpAssertionError) as caught:
            assert_drift_below(model, base, total_variation=0.9, residual=0.01, twins=1)
        verdict = caught.value.verdict
        assert verdict.outcome is Outcome.FAIL
        assert limit(verdict, "total variation")["verdict"] == "PASS"
        assert str(caught.value).startswith("drift/limits FAIL: relative residual movement (from random-gpt2-0)")
        assert "beyond the limit: relative residual movement at block" in verdict.reason

    def test_cka_holds_although_the_stream_was_rescaled_and_the_cosine_sees_a_turn(self) -> None:
        generator = torch.Generator().manual_seed(0)
        turn = torch.linalg.qr(torch.randn(drift_gpt2.D_MODEL, drift_gpt2.D_MODEL, generator=generator)).Q.double()
        turned = drift_gpt2.build()
        with torch.no_grad():
            turned.transformer.wte.weight.copy_(3 * turned.transformer.wte.weight @ turn)
            for block in turned.transformer.h:
                block.mlp.c_proj.bias.copy_(3 * block.mlp.c_proj.bias @ turn)
        verdict = verdict_of(
            assert_drift_below,
            wrap(turned, id="turned"),
            oracle()[1],
            cka=0.99,
            cosine=0.5,
            texts=ROWS[:70],
            twins=1,
        )
        assert limit(verdict, "residual CKA")["verdict"] == "PASS"
        assert limit(verdict, "residual cosine")["verdict"] == "FAIL"

    def test_a_limit_below_the_noise_floor_is_cautioned(self) -> None:
        model, base = nearby()
        verdict = verdict_of(assert_drift_below, model, base, length=12, kl=1e-9, twins=1)
        assert "tighter than a trip through bfloat16" in verdict.details["cautions"][0]
        assert "caution" in verdict.details["profile"]

    def test_too_few_texts_for_an_approximate_limit(self) -> None:
        model, base = nearby()
        verdict = verdict_of(
            assert_drift_below, model, base, length=12, kl=5.0, texts=[(5, 6, k) for k in range(10, 40)], twins=1
        )
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "approximate limits need 64 documents at least" in verdict.reason

    @pytest.mark.parametrize("seed", range(3))
    def test_failing_levels_are_shared_by_the_blocks(self, seed: int) -> None:
        (judged,) = gated(
            {"residual": 0.5},
            ErrorLevels(),
            population=None,
            no_text=None,
            no_residual=None,
            entries=5,
            weights="not compared",
        )
        assert [gate.gate.levels.fail for gate in judged.gates] == [0.001 / 5] * 5  # type: ignore[attr-defined]
        assert {gate.gate.levels.pass_ for gate in judged.gates} == {0.01}  # type: ignore[attr-defined]


class TestTheControl:
    def test_a_model_as_far_away_as_its_twins_passes_no_limit(self) -> None:
        """Random weights: a limit of .99 holds and means nothing."""
        verdict = verdict_of(assert_drift_below, small(1), small(2), total_variation=0.99, length=12)
        assert verdict.claim_outcome is Outcome.PASS
        assert verdict.outcome is not Outcome.PASS
        assert control(verdict, "random_weights").outcome is not Outcome.PASS

    def test_a_measure_that_compares_the_base_with_itself_is_caught(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = drift_measure._Comparison.__init__

        def blind(self: Any, model: Model, base: Model, **options: Any) -> None:
            real(self, base, base, **options)

        monkeypatch.setattr(drift_measure._Comparison, "__init__", blind)
        model, base = nearby(by=0.3)
        for options in ({"total_variation": 0.05}, {"residual": 0.05}):
            verdict = verdict_of(assert_drift_below, model, base, length=12, twins=3, **options)
            assert verdict.outcome is not Outcome.PASS
            assert control(verdict, "random_weights").outcome is not Outcome.PASS


class TestWhatCannotBeCompared:
    def test_another_width_leaves_the_output(self) -> None:
        other, base = small(3, n_embd=16), small(3)
        with pytest.raises(NotApplicable, match="differ in width: 16 in random-gpt2-3, 32 in random-gpt2-3"):
            assert_drift_below(other, base, residual=0.5, twins=1)
        verdict = verdict_of(assert_drift_below, other, base, total_variation=0.05, twins=1)
        assert verdict.outcome is Outcome.FAIL
        assert "width" in verdict.details["no_residual"]
        assert "shape" in verdict.details["weights"]

    def test_a_failed_limit_outranks_what_is_missing(self) -> None:
        verdict = verdict_of(assert_drift_below, small(3, n_layer=3), small(3), total_variation=0.01, cka=0.5, twins=1)
        assert verdict.outcome is Outcome.FAIL
        assert limit(verdict, "residual CKA")["verdict"] == "NOT_APPLICABLE"
        assert "depth: 3 blocks" in limit(verdict, "residual CKA")["note"]

    def test_other_tokens(self) -> None:
        with pytest.raises(NotApplicable, match=r"90 token ids, .* nobody can say which are the same"):
            assert_drift_below(small(vocab_size=90), small(), total_variation=0.5, twins=1)

    def test_other_words_are_compared_by_text(self) -> None:
        base, other, texts = of_other_words()
        with pytest.raises(NotApplicable, match="the tokenizers differ: id 3 is") as caught:
            assert_drift_below(other, base, total_variation=0.5, residual=0.5, texts=texts[:30], twins=1)
        by_text = caught.value.verdict.details["by_text"]
        assert by_text["texts"] == 30
        assert by_text["difference"] == pytest.approx(by_text["model"] - by_text["base"])
        assert "nats per character" in str(caught.value)

    def test_and_can_be_limited_by_text(self) -> None:
        """The base with its words renumbered is the same model; another one predicts what the base writes worse."""
        base, other, texts = of_other_words()
        renumbered = wrap(
            in_other_order(base), metaspace_tokenizer([f"▁w{i}" for i in reversed(range(60))]), id="renumbered"
        )
        verdict = verdict_of(assert_drift_below, renumbered, base, by_text=0.05, texts=texts, twins=2)
        assert verdict.claim_outcome is Outcome.PASS
        assert verdict.details["by_text"]["difference"] == pytest.approx(0.0, abs=1e-6)
        worse = float(measure_text_drift(other, base, texts).difference)  # type: ignore[union-attr]
        assert worse > 0.1
        for factor, outcome in ((1.5, Outcome.PASS), (0.5, Outcome.FAIL)):
            verdict = verdict_of(assert_drift_below, other, base, by_text=factor * worse, texts=texts, twins=2)
            assert (verdict.check, verdict.claim_outcome) == ("drift/text", outcome)
            assert verdict.details["judged"][0]["approximate"]
            assert verdict.measurements[0].name == "drift/by_text"
            assert verdict.outcome is not Outcome.PASS, "it is as far away as its twins"

    def test_without_a_tokenizer_there_are_no_texts(self) -> None:
        with pytest.raises(NotApplicable, match="random-gpt2-0 has no tokenizer, so texts cannot be put into its"):
            assert_drift_below(*nearby(), by_text=0.5, length=12, twins=1)

    def test_a_base_that_cannot_write_needs_texts(self) -> None:
        model, base = fresh()
        with torch.no_grad():
            base.module.transformer.ln_f.weight.zero_()
            base.module.transformer.ln_f.bias.copy_(100 * base.module.transformer.wte.weight[0])
        with pytest.raises(NotApplicable, match=r"ends every document that it begins; give texts="):
            assert_drift_below(model, base, total_variation=0.5, twins=1)
        texts = [(3, 4, k) for k in range(5, 60)]
        assert verdict_of(assert_drift_below, model, base, length=12, total_variation=0.5, texts=texts, twins=1).n > 0

    def test_a_base_that_can_nothing_has_nothing_to_lose(self) -> None:
        with pytest.raises(NotApplicable, match="the base does not do it: repeated - shuffled"):
            assert_drift_below(*nearby(), length=12, twins=1)


def of_other_words() -> tuple[Model, Model, list[str]]:
    """Two models that know the same words under other ids, and texts that both can read; the first one's tokens are the
    base's.
    """
    words = [f"▁w{i}" for i in range(60)]
    base, other = (small_with(s, tuple(some)) for s, some in ((0, words), (1, words[::-1])))
    rng = np.random.default_rng(0)
    return base, other, [" ".join(["", *(f"w{k}" for k in rng.integers(0, 60, 6))]) for _ in range(130)]


@cache
def small_with(seed: int, words: tuple[str, ...]) -> Model:
    model = gpt2(seed, tokenizer=metaspace_tokenizer(list(words)))
    with torch.no_grad():
        model.module.transformer.ln_f.weight.mul_(1.0 + 4.0 * seed)  # the other one is sure of what it says
    return model


def in_other_order(base: Model) -> Any:
    """The same model with the ids of its 60 words turned round."""
    module: Any = gpt2(0).module
    module.load_state_dict(base.module.state_dict())
    ids = torch.arange(80)
    ids[3:63] = ids[3:63].flip(0)
    with torch.no_grad():
        module.transformer.wte.weight.copy_(module.transformer.wte.weight[ids])
    return module


class TestTheBudget:
    def test_of_documents_too(self) -> None:
        verdict = verdict_of(assert_drift_below, *nearby(), total_variation=0.001, length=12, twins=1, budget=64)
        assert verdict.outcome is Outcome.FAIL or "takes 7" in verdict.reason
        verdict = verdict_of(assert_drift_below, *nearby(), agreement=0.97, length=12, twins=1, budget=64)
        assert verdict.outcome is Outcome.FAIL or "takes 2" in verdict.reason


class TestProbes:
    def test_what_can_no_longer_be_read_is_told(self) -> None:
        """O3 in a model: the block that copies the first word's worth is taken out."""
        base, cut = probe_gpt2.build(3.0, 200), probe_gpt2.build(3.0, 200, copies_at=0)
        texts = probe_gpt2.texts(200)
        options: dict[str, Any] = {"claims_lost": 0.05, "probes": [texts], "length": 8, "twins": 1}
        found = verdict_of(assert_drift_below, cut, base, **options)
        told = next(claim for claim in found.details["claims"] if claim["claim"] == "probes/order")
        assert found.details["flipped"] == ["probes/order"]
        assert told["base"] > 0.95
        assert told["model"] == pytest.approx(0.5, abs=0.1)
        assert (told["base_verdict"], told["base_layer"]) == ("PASS", "block 2 of 3")
        assert told["told"].endswith("FLIPPED")
        assert found.outcome is Outcome.NOT_APPLICABLE, "what can be lost was not there, and probes are not counted"
        back = verdict_of(assert_drift_below, base, cut, **options)
        assert back.details["flipped"] == [], "a model that can more has lost nothing"

    def test_words_that_one_of_them_does_not_know(self) -> None:
        base, fewer = probe_gpt2.build(3.0, 100), probe_gpt2.build(3.0, 70)
        found = verdict_of(
            assert_drift_below, fewer, base, claims_lost=0.05, probes=[probe_gpt2.texts(100)], length=8, twins=1
        )
        told = next(claim for claim in found.details["claims"] if claim["claim"] == "probes/order")
        assert told["told"] == "not compared: 70 of 100 groups are in the vocabulary of oracle:probe-3"


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (
                {"total_variation": 0.0},
                "total_variation=0.0: a limit on the total variation is a number above 0 and below",
            ),
            ({"total_variation": 1.0}, "above 0 and below 1"),
            ({"agreement": float("nan")}, "agreement=nan"),
            ({"kl": -1.0}, "kl=-1.0: a limit on the KL.* is a number above 0"),
            ({"residual": True}, "residual=True"),
            ({"cosine": -1.5}, "cosine=-1.5: .* above -1 and below 1"),
            ({"cka": "high"}, "cka='high'"),
            ({"claims_lost": 2}, "claims_lost=2"),
            ({"length": 3}, "length=3 must be a whole number of at least 8 tokens"),
            ({"kl": 1.0, "texts": []}, "no texts were given"),
            ({"kl": 1.0, "texts": [(3, 4), (3, 4)]}, "text 1 is text 0 again"),
            ({"kl": 1.0, "seed": -1}, "seed=-1"),
            ({"kl": 1.0, "twins": 0}, "twins=0"),
            ({"by_text": 0.0}, "by_text=0.0: a limit on the nats per character lost is a number above 0"),
            ({"claims_lost": 0.1, "probes": ["humour"]}, "no shipped data set 'humour'"),
        ],
    )
    def test_is_named_before_anything_is_measured(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(UsageProblem, match=said):
            assert_drift_below(small(), small(), **options)

    def test_bare_modules(self) -> None:
        for pair in ((gpt2().module, gpt2()), (gpt2(), gpt2().module)):
            with pytest.raises(UsageProblem, match="a claim is about a Model, not GPT2LMHeadModel"):
                assert_drift_below(*pair, kl=1.0)  # type: ignore[arg-type]

    def test_texts_longer_than_the_shorter_context(self) -> None:
        with pytest.raises(ContextTooShort, match="text 0 has 12 tokens and the context 8"):
            assert_drift_below(small(n_positions=8), small(), kl=1.0, texts=[tuple(range(3, 15))])

    def test_nan_is_never_a_pass(self) -> None:
        model, base = fresh()
        _ = model.anatomy
        with torch.no_grad():
            model.module.transformer.h[1].mlp.c_proj.bias.fill_(float("nan"))
        with pytest.raises(NonFiniteMeasurement, match="not finite at block 2"):
            assert_drift_below(model, base, total_variation=0.9)

    def test_no_variance_no_cka(self) -> None:
        same = drift_gpt2.build()
        with torch.no_grad():
            same.transformer.wte.weight.copy_(same.transformer.wte.weight[5].expand_as(same.transformer.wte.weight))
        with pytest.raises(NonFiniteMeasurement, match="no CKA at the embedding"):
            assert_drift_below(wrap(same), oracle()[1], cka=0.5, texts=ROWS)


class TestSharedPasses:
    def test_further_claims_about_a_pair_read_nothing_twice(self) -> None:
        model, base = fresh(7)
        first = verdict_of(assert_drift_below, model, base, length=12, total_variation=0.5, twins=1)
        second = verdict_of(assert_drift_below, model, base, length=12, agreement=0.2, twins=1)
        assert second.details["output"] == first.details["output"]
        # what is left is the twin, and the base beside it, on the first 64 documents
        assert second.cost.forward_passes < first.cost.forward_passes / 2

    def test_unless_the_weights_have_changed(self) -> None:
        model, base = fresh(7)
        first = verdict_of(assert_drift_below, model, base, length=12, total_variation=0.5, twins=1)
        with torch.no_grad():
            model.module.transformer.wte.weight.mul_(1.5)
        second = verdict_of(assert_drift_below, model, base, length=12, total_variation=0.5, twins=1)
        assert second.details["output"]["total_variation"] > first.details["output"]["total_variation"]
        assert len([key for key in readings._remembered if key is model]) == 1

    def test_a_seed_replays(self) -> None:
        pairs = fresh(7), fresh(7)
        verdicts = [
            verdict_of(assert_drift_below, *pairs[i], kl=0.5, seed=seed, length=12, twins=1)
            for i, seed in ((0, 3), (1, 3), (1, 4))
        ]
        outputs = [verdict.details["output"] for verdict in verdicts]
        assert outputs[0] == outputs[1] != outputs[2]
