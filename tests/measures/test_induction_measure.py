"""Induction against models whose scores are known analytically, and its behaviour on ordinary ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oracles import induction_gpt2, induction_llama, order_blind

from interp_assert.errors import ContextTooShort, NonFiniteMeasurement, UsageProblem
from interp_assert.measures import InductionScores, measure_induction, measure_repeated_accuracy
from interp_assert.models import Model, twins, wrap
from interp_assert.prompts import RepeatedTokens, RepeatedTokenStream, token_pool

from .small import gpt2, mamba


def clusters_for(model: Model, count: int = 8, n: int = 20, seed: int = 0) -> list[RepeatedTokens]:
    return RepeatedTokenStream(token_pool(model), n, seed).take(0, count)


def measured(model: Model, count: int = 8, n: int = 20) -> InductionScores:
    return measure_induction(model, clusters_for(model, count, n))


class TestGPT2Oracle:
    """O1: a hand-written GPT-2 whose prefix-matching score is e^beta / (e^beta + other keys), averaged."""

    @pytest.mark.parametrize(("beta", "stated"), induction_gpt2.DIAL.items())
    def test_the_dial_reads_as_computed(self, beta: float, stated: float) -> None:
        scores = measured(wrap(induction_gpt2.build(beta)))
        assert scores.prefix_matching is not None
        score = scores.prefix_matching[induction_gpt2.INDUCTION_HEAD]
        assert score == pytest.approx(induction_gpt2.theory(beta), abs=7e-11)
        assert score == pytest.approx(stated, abs=5e-5)

    def test_the_other_heads_are_uniform_or_previous_token(self) -> None:
        scores = measured(wrap(induction_gpt2.build(12.0)))
        assert scores.prefix_matching is not None
        assert scores.prefix_matching[0, 0] == pytest.approx(0.0, abs=1e-20)
        assert scores.prefix_matching[0, 1] == pytest.approx(induction_gpt2.theory(0.0), abs=1e-12)
        assert scores.prefix_matching[1, 0] == pytest.approx(induction_gpt2.theory(0.0), abs=1e-12)

    def test_the_control_is_uniform_whatever_the_dial(self) -> None:
        scores = measured(wrap(induction_gpt2.build(12.0)))
        assert scores.prefix_control is not None
        assert scores.prefix_control[induction_gpt2.INDUCTION_HEAD] == pytest.approx(
            induction_gpt2.theory(0.0), abs=1e-12
        )

    def test_behaviour_is_perfect_on_repeats_only(self) -> None:
        scores = measured(wrap(induction_gpt2.build(12.0)))
        assert scores.accuracy.values.tolist() == [1.0] * 8
        assert scores.shuffled.values.tolist() == [0.0] * 8
        assert scores.unrepeated.values.tolist() == [0.0] * 8
        assert scores.p_target.estimate == pytest.approx(1.0, abs=1e-8)
        assert scores.nll_second.estimate == pytest.approx(0.0, abs=1e-8)
        assert scores.nll_gain.estimate == pytest.approx(scores.nll_first.estimate, abs=1e-8)
        assert scores.nll_gain.estimate > 6.0

    def test_without_bos_position_zero_matches_too(self) -> None:
        n, e = 20, math.exp(12.0)
        module = induction_gpt2.build(12.0)
        module.config.bos_token_id = None
        scores = measured(wrap(module))
        first = e / (2 * e + n - 1)  # position 0 attends to itself, so its `prev` is its own token
        theory = (first + sum(e / (e + n + t) for t in range(1, n))) / n
        assert scores.bos is None
        assert scores.prefix_matching is not None
        assert scores.prefix_matching[induction_gpt2.INDUCTION_HEAD] == pytest.approx(theory, abs=7e-11)
        assert theory == pytest.approx(0.975, abs=1e-3), "a missing BOS costs 2.5 %"

    @pytest.mark.parametrize("n", [2, 5, 31])
    def test_other_lengths(self, n: int) -> None:
        scores = measured(wrap(induction_gpt2.build(3.5)), n=n)
        assert scores.prefix_matching is not None
        assert scores.prefix_matching[induction_gpt2.INDUCTION_HEAD] == pytest.approx(
            induction_gpt2.theory(3.5, n), abs=7e-11
        )
        assert scores.chance == 1 / n

    def test_a_flat_previous_token_head_leaves_nothing(self) -> None:
        scores = measured(wrap(induction_gpt2.build(12.0, previous_beta=0.0)))
        assert scores.prefix_matching is not None
        assert scores.prefix_matching[induction_gpt2.INDUCTION_HEAD] == pytest.approx(0.07, abs=0.01)
        assert scores.accuracy.estimate == 0.0

    def test_attending_without_copying_scores_nothing(self) -> None:
        scores = measured(wrap(induction_gpt2.build(12.0, copies=False)))
        assert scores.accuracy.estimate <= 0.05
        assert scores.p_target.estimate == pytest.approx(1 / induction_gpt2.VOCAB)

    def test_attending_without_copying_still_attends(self) -> None:
        scores = measured(wrap(induction_gpt2.build(12.0, copies=False)))
        assert scores.prefix_matching is not None
        assert scores.prefix_matching[induction_gpt2.INDUCTION_HEAD] == pytest.approx(0.9998, abs=5e-5)

    @pytest.mark.parametrize("scheme", ["init", "resample", "permute", "resample_keepemb", "permute_keepemb"])
    def test_random_weights_leave_nothing_of_it(self, scheme: str) -> None:
        """About uniform attention, top-1 at most .05 (METHODS)."""
        with twins(wrap(induction_gpt2.build(12.0)), scheme=scheme, n=1) as drawn:
            scores = measured(next(drawn))
        assert scores.prefix_matching is not None
        assert scores.prefix_matching[induction_gpt2.INDUCTION_HEAD] <= 0.06
        assert scores.accuracy.estimate <= 0.05


class TestLlamaOracle:
    """O2: RMS norm, rotary positions and two query heads on one key/value head."""

    @pytest.mark.parametrize(("beta", "stated"), induction_gpt2.DIAL.items())
    def test_the_dial_reads_as_computed(self, beta: float, stated: float) -> None:
        scores = measured(wrap(induction_llama.build(beta)))
        assert scores.prefix_matching is not None
        score = scores.prefix_matching[induction_llama.INDUCTION_HEAD]
        assert score == pytest.approx(induction_gpt2.theory(beta), abs=8e-8)
        assert score == pytest.approx(stated, abs=5e-5)
        assert scores.accuracy.estimate == (1.0 if beta else 0.0)

    def test_a_flat_previous_token_head_leaves_nothing(self) -> None:
        scores = measured(wrap(induction_llama.build(12.0, previous_beta=0.0)))
        assert scores.prefix_matching is not None
        assert scores.prefix_matching[induction_llama.INDUCTION_HEAD] == pytest.approx(0.07, abs=0.01)
        assert scores.accuracy.estimate == 0.0


def test_an_order_blind_model_gains_nothing_over_the_shuffled_copy() -> None:
    scores = measured(wrap(order_blind.build()), count=128)
    assert scores.accuracy.estimate == pytest.approx(order_blind.expected_accuracy(), abs=0.03)
    assert scores.accuracy.estimate > 3 * scores.chance
    assert scores.accuracy.minus(scores.shuffled).estimate == pytest.approx(0.0, abs=0.03)


def test_agrees_with_the_definition_written_out() -> None:
    model = gpt2()
    clusters = clusters_for(model, 3, n=7)
    scores = measure_induction(model, clusters)
    for c, cluster in enumerate(clusters):
        with torch.no_grad():
            out = model.module(torch.tensor([cluster.repeated]), output_attentions=True)
        log_p = out.logits[0].double().log_softmax(-1)
        row, n = cluster.repeated, 7
        second = [(p, row[p + 1]) for p in range(1 + n, 1 + 2 * n - 1)]
        first = [(p, row[p + 1]) for p in range(1, n)]
        assert len(second) == len(first) == n - 1
        hits = [float(log_p[p].argmax() == token) for p, token in second]
        assert scores.accuracy.values[c] == pytest.approx(np.mean(hits))
        assert scores.p_target.values[c] == pytest.approx(
            np.mean([float(log_p[p, t].exp()) for p, t in second]), rel=1e-5
        )
        assert scores.nll_second.values[c] == pytest.approx(-np.mean([float(log_p[p, t]) for p, t in second]), rel=1e-5)
        assert scores.nll_first.values[c] == pytest.approx(-np.mean([float(log_p[p, t]) for p, t in first]), rel=1e-5)
    with torch.no_grad():
        out = model.module(torch.tensor([c.repeated for c in clusters]), output_attentions=True)
    for block, pattern in enumerate(out.attentions):
        written_out = np.mean([pattern[:, :, q, q - 7 + 1].numpy() for q in range(8, 15)], axis=(0, 1))
        assert scores.prefix_matching is not None
        assert scores.prefix_matching[block] == pytest.approx(written_out, rel=1e-5)


def test_ties_are_no_hits() -> None:
    module = gpt2().module
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    scores = measured(wrap(module))
    assert scores.accuracy.estimate == 0.0
    assert scores.p_target.estimate == pytest.approx(1 / 80)


def test_batches_do_not_change_values() -> None:
    model = gpt2()
    clusters = clusters_for(model, 12)
    whole = measure_induction(model, clusters)
    model.batch_tokens = 100
    pieces = measure_induction(model, clusters)
    assert pieces.cost.forward_passes > whole.cost.forward_passes
    for name in ("accuracy", "shuffled", "unrepeated"):
        assert np.array_equal(getattr(whole, name).values, getattr(pieces, name).values)
    assert whole.nll_gain.values == pytest.approx(pieces.nll_gain.values, rel=1e-4, abs=1e-5)
    assert whole.prefix_matching == pytest.approx(pieces.prefix_matching, rel=1e-4)


def test_heads_are_read_on_the_first_clusters_only() -> None:
    model = gpt2()
    clusters = clusters_for(model, 40)
    scores = measure_induction(model, clusters)
    assert scores.head_clusters == 32
    assert scores.prefix_matching == pytest.approx(measure_induction(model, clusters[:32]).prefix_matching, rel=1e-5)
    assert measure_induction(model, clusters, heads=False).prefix_matching is None
    assert measure_induction(model, clusters, heads=4).head_clusters == 4


def test_a_model_without_attention_has_behaviour_only() -> None:
    scores = measured(mamba())
    assert scores.prefix_matching is None
    assert scores.head_clusters == 0
    assert scores.accuracy.n == 8


def test_further_clusters_extend_the_same_measurement() -> None:
    model = gpt2()
    clusters = clusters_for(model, 10)
    joined = measure_induction(model, clusters[:4]).extend(measure_induction(model, clusters[4:], heads=False))
    whole = measure_induction(model, clusters, heads=4)
    assert joined.accuracy.clusters == whole.accuracy.clusters
    assert np.array_equal(joined.accuracy.values, whole.accuracy.values)
    assert joined.prefix_matching == pytest.approx(whole.prefix_matching, rel=1e-5)
    assert joined.cost.tokens == whole.cost.tokens


def test_the_short_measurement_of_twins_is_the_same_number() -> None:
    model = wrap(order_blind.build())
    clusters = clusters_for(model, 6)
    short, full = measure_repeated_accuracy(model, clusters), measure_induction(model, clusters)
    assert np.array_equal(short.values, full.accuracy.values)
    assert short.clusters == full.accuracy.clusters
    assert short.cost.tokens * 3 == full.cost.tokens


def test_a_context_too_short_names_what_would_fit() -> None:
    model = gpt2(n_positions=30)
    with pytest.raises(ContextTooShort, match=r"41 tokens do not fit its context of 30; use n <= 14 \(n = 20 now\)"):
        measured(model)
    assert measured(model, n=14).n == 14


def test_no_clusters_and_mixed_clusters_are_refused() -> None:
    model = gpt2()
    with pytest.raises(UsageProblem, match="no clusters"):
        measure_induction(model, [])
    with pytest.raises(UsageProblem, match="different shape"):
        measure_induction(model, clusters_for(model, 1, n=5) + clusters_for(model, 1, n=6))


def test_logits_that_are_not_finite_are_an_error_and_no_score() -> None:
    model = gpt2()
    model.anatomy  # noqa: B018 - proven while the weights are sound
    with torch.no_grad():
        model.module.transformer.ln_f.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteMeasurement, match="repeated/n=20/seed=0/0"):
        measured(model)
