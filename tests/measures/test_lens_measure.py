"""The logit lens against models whose readings are known, and its identities on ordinary ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import lens_gpt2, lens_lookup

from interp_assert.errors import ContextTooShort, NonFiniteMeasurement, UsageProblem
from interp_assert.measures import first_hit, lens_kl, measure_logit_lens, sustained_crossover
from interp_assert.models import Model, load, wrap
from interp_assert.prompts import Fact, sample_documents

from .small import gemma2, gpt2, mamba


def prompt(*ids: int, target: int = 5, cluster: str = "c") -> Fact:
    return Fact(cluster, "r", "t", "text", "answer", ids, target)


@pytest.mark.parametrize(
    ("ranks", "sustained", "hit"),
    [
        ([1, 1, 1, 0, 0, 0], 3, 3),
        ([1, 1, 0, 1, 0, 0], 4, 2),
        ([0, 0, 0], 1, 1),
        ([0, 1, 0], 2, 2),
        ([5, 0, 1], None, 1),
        ([5, 2, 1], None, None),
        ([0, 3, 3], None, None),
        ([3, 0], 1, 1),
    ],
)
def test_crossover_is_sustained_and_counts_blocks_from_one(
    ranks: list[int], sustained: int | None, hit: int | None
) -> None:
    assert sustained_crossover(ranks) == sustained
    assert first_hit(ranks) == hit


class TestOracle:
    """O5: a GPT-2 in which block 3 of 5 decides."""

    def test_ranks_are_exact(self) -> None:
        scores = measure_logit_lens(wrap(lens_gpt2.build()), [prompt(0, 1, 2, target=lens_gpt2.TARGET)])
        assert tuple(scores.rank[0]) == lens_gpt2.RANKS
        assert scores.crossover == (lens_gpt2.DECIDES,)
        assert scores.first_hit == (lens_gpt2.DECIDES,)
        assert scores.answered.tolist() == [True]
        assert scores.n_blocks == lens_gpt2.N_BLOCKS

    @pytest.mark.parametrize("decides", [1, 2, 3, 4, 5, 0])
    def test_wherever_it_is_decided(self, decides: int) -> None:
        scores = measure_logit_lens(wrap(lens_gpt2.build(decides)), [prompt(0, 3, target=lens_gpt2.TARGET)])
        assert scores.crossover == (decides or None,)

    def test_probabilities_and_divergences_are_those_of_the_definition(self) -> None:
        scores = measure_logit_lens(wrap(lens_gpt2.build()), [prompt(0, 1, 2, target=lens_gpt2.TARGET)])
        log_p = [lens_gpt2.log_probabilities(entry) for entry in range(6)]
        p = [float(entry[lens_gpt2.TARGET].exp()) for entry in log_p]
        kl = [float((log_p[-1].exp() * (log_p[-1] - entry)).sum()) for entry in log_p]
        assert scores.p[0] == pytest.approx(p, abs=1e-12)
        assert scores.kl[0] == pytest.approx(kl, abs=1e-12)
        assert scores.kl[0, -1] == 0.0

    def test_the_rival_is_read_as_a_decoy(self) -> None:
        fact = prompt(0, 1, 2, target=lens_gpt2.TARGET)
        scores = measure_logit_lens(wrap(lens_gpt2.build()), [fact], decoys=[lens_gpt2.RIVAL])
        assert scores.decoy_rank is not None
        assert scores.decoy_rank[0].tolist() == [0, 0, 0, 1, 1, 1]


def test_each_fact_keeps_its_own_target_whatever_the_batches() -> None:
    decides = [1, 2, 3, 4, 0] * 4
    model = wrap(lens_lookup.build(decides))
    facts = lens_lookup.facts(20, templates=3)
    scores = measure_logit_lens(model, facts)
    assert [c or 0 for c in scores.crossover] == [d for d in decides for _ in range(3)]
    model.batch_tokens = 7
    again = measure_logit_lens(model, facts[::-1])
    assert again.crossover == scores.crossover[::-1]


@pytest.mark.parametrize("make", [gpt2, gemma2, mamba])
def test_the_last_entry_is_the_model_itself(make: object) -> None:
    model: Model = make()  # type: ignore[operator]
    facts = [prompt(2, 7, 9, 11, target=t) for t in range(0, 80, 8)]
    scores = measure_logit_lens(model, facts)
    with torch.no_grad():
        log_p = model.module(torch.tensor([facts[0].ids])).logits[0, -1].double().log_softmax(-1)
    assert scores.p[:, -1] == pytest.approx([float(log_p[f.target_id].exp()) for f in facts], rel=1e-4)
    assert scores.rank[:, -1].tolist() == [int((log_p > log_p[f.target_id]).sum()) for f in facts]
    assert np.all(scores.kl[:, -1] == 0.0)
    assert np.all(scores.kl[:, :-1] > 0.0)


def test_entry_zero_is_the_stream_before_any_block() -> None:
    model = gpt2()
    scores = measure_logit_lens(model, [prompt(0, 7, 9, target=3)])
    body = model.module.transformer
    with torch.no_grad():
        stream = body.wte.weight[9] + body.wpe.weight[2]
        log_p = model.module.lm_head(body.ln_f(stream)).double().log_softmax(-1)
    assert scores.p[0, 0] == pytest.approx(float(log_p[3].exp()), rel=1e-4)


def test_bad_requests_are_named() -> None:
    model = gpt2(n_positions=4)
    with pytest.raises(UsageProblem, match="no facts"):
        measure_logit_lens(model, [])
    with pytest.raises(UsageProblem, match="2 decoy targets for 1 facts"):
        measure_logit_lens(model, [prompt(0, 1)], decoys=[1, 2])
    with pytest.raises(ContextTooShort, match="5 tokens do not fit its context of 4"):
        measure_logit_lens(model, [prompt(0, 1, 2, 3, 4)])
    with pytest.raises(ContextTooShort, match="cut the documents"):
        lens_kl(model, [[0, 1, 2, 3, 4]])
    with pytest.raises(UsageProblem, match="without any token but BOS"):
        lens_kl(model, [[0], [0]])


def test_a_lens_that_is_not_finite_names_fact_and_block() -> None:
    model = gpt2()
    model.anatomy  # noqa: B018 - proven while the weights are sound
    with torch.no_grad():
        model.module.transformer.h[1].mlp.c_proj.bias.fill_(float("inf"))
    with pytest.raises(NonFiniteMeasurement, match=r"not finite at .*block 2|not finite at the embedding.*'text'"):
        measure_logit_lens(model, [prompt(0, 1, 2)])


class TestKLByBlock:
    def test_agrees_with_the_definition_written_out(self) -> None:
        model = gpt2()
        rows = [(0, 5, 9, 3), (0, 7), (0, 1, 2, 3, 0, 4)]
        total, count = np.zeros(3), 0
        for row in rows:
            trace = model.trace([list(row)], ["blocks.0.resid_pre", "blocks.0.resid_post", "blocks.1.resid_post"])
            entries = [model.unembed(trace[site])[0].double().log_softmax(-1) for site in trace]
            for position, token in enumerate(row):
                if token != 0:
                    final = entries[-1][position]
                    total += [float((final.exp() * (final - e[position])).sum()) for e in entries]
                    count += 1
        assert lens_kl(model, rows) == pytest.approx(total / count, rel=1e-4)
        assert lens_kl(model, rows)[-1] == 0.0

    def test_batches_do_not_change_it(self) -> None:
        model = gpt2()
        rows = sample_documents(model, 12, 20)
        whole = lens_kl(model, rows)
        model.batch_tokens = 21
        assert lens_kl(model, rows) == pytest.approx(whole, rel=1e-5)

    @pytest.mark.shared
    def test_a_real_model_reads_as_published_with_it(self, shared: Path) -> None:
        model = load(str(shared / "models" / "stories260k"))
        kl = lens_kl(model, sample_documents(model, 400, 96))
        assert kl == pytest.approx([22.0, 12.3, 5.5, 2.45, 0.93, 0.0], rel=0.06, abs=1e-12)
