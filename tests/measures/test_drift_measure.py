"""Drift against its closed form, its identities, and what it must not count."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.architectures import builder
from oracles import drift_gpt2

from interp_assert.errors import ContextTooShort, NonFiniteMeasurement, UsageProblem
from interp_assert.measures import DriftScores, measure_drift, measure_weight_drift, output_drift
from interp_assert.models import Model, load, wrap
from interp_assert.prompts import Document, SampledDocuments

from .small import gpt2, mamba

SCALE = 2.0


def documents(rows: list[tuple[int, ...]]) -> list[Document]:
    return [Document(f"row {i}", row) for i, row in enumerate(rows)]


def measured(scale: float = SCALE, moved: int = drift_gpt2.MOVED, **options: Any) -> tuple[DriftScores, Any]:
    rows = drift_gpt2.rows()
    base = wrap(drift_gpt2.build(), id="base")
    tuned = wrap(drift_gpt2.build(scale, moved=moved), id="tuned")
    scores = measure_drift(tuned, base, documents(rows), **options)
    return scores, drift_gpt2.expected(rows, scale, moved=moved)


class TestTheOracle:
    """O9: a known vector added to one block's bias."""

    @pytest.mark.parametrize(("scale", "moved"), [(2.0, 3), (0.5, 1), (-3.0, 4)])
    def test_every_number_is_as_computed(self, scale: float, moved: int) -> None:
        scores, theory = measured(scale, moved)
        residual = scores.residual
        assert residual is not None
        assert (residual.relative[:moved] == 0.0).all()
        assert residual.relative == pytest.approx(theory.relative, abs=1e-12)
        for name in ("moved", "size", "cosine"):
            assert getattr(residual, name) == pytest.approx(getattr(theory, name), abs=1e-12)
        assert residual.cka == pytest.approx(np.ones(drift_gpt2.N_BLOCKS + 1), abs=1e-9)
        for name in ("total_variation", "kl", "agreement"):
            assert getattr(scores, name).values == pytest.approx(getattr(theory, name), abs=1e-12)

    def test_is_far_from_a_mean_of_ratios(self) -> None:
        """Or the oracle could not tell them apart."""
        _, theory = measured()
        ratios = (theory.moved / theory.size).mean(0)
        assert abs(ratios[-1] / theory.relative[-1] - 1) > 0.01

    def test_weights_moved_by_the_delta_in_its_block_alone(self) -> None:
        base, tuned = wrap(drift_gpt2.build()), wrap(drift_gpt2.build(SCALE))
        found = measure_weight_drift(tuned, base)
        own = drift_gpt2.bias(drift_gpt2.MOVED)
        norms = 2 * drift_gpt2.D_MODEL  # two layer norms with gains of 1
        expected = SCALE * np.linalg.norm(drift_gpt2.DELTA) / np.sqrt(norms + own @ own)
        assert found.blocks == pytest.approx([0.0, 0.0, expected, 0.0], abs=1e-12)
        assert found.outside == 0.0
        assert 0.0 < found.whole < expected


class TestIdentities:
    def test_identical_models_give_exactly_nothing(self) -> None:
        """Two modules with the same weights, and one handle compared with itself."""
        docs = documents([(0, *range(3, 3 + n)) for n in (5, 9, 12)])
        for model, base in ((gpt2(3), gpt2(3)), *[(same := mamba(), same)]):
            scores = measure_drift(model, base, docs, parts=True)
            assert scores.residual is not None
            assert not scores.total_variation.values.any()
            assert not scores.kl.values.any()
            assert (scores.agreement.values == 1.0).all()
            assert not scores.residual.moved.any()
            assert (scores.residual.cosine == 1.0).all()
            assert (scores.residual.cka == 1.0).all()
            assert all(part.top(5) == [] for part in scores.moved)
            assert measure_weight_drift(model, base).whole == 0.0

    def test_total_variation_is_symmetric_and_documents_are_read_once_by_each(self) -> None:
        a, b, docs = gpt2(1), gpt2(2), documents([(0, 5, 6, 7, 8), (0, 9, 10, 11, 12), (0, 4, 4, 7)])
        forth, back = measure_drift(a, b, docs), measure_drift(b, a, docs)
        assert forth.total_variation.values == pytest.approx(back.total_variation.values, abs=1e-7)
        assert forth.agreement.values.tolist() == back.agreement.values.tolist()
        assert forth.kl.values != pytest.approx(back.kl.values, rel=0.01)
        assert (forth.cost.forward_passes, forth.cost.tokens) == (4, 2 * (5 + 5 + 4))
        assert forth.positions == 4 + 4 + 3

    def test_batches_change_nothing_and_documents_can_follow(self) -> None:
        docs = documents(drift_gpt2.rows(9))
        whole, _ = measured(), None
        base, tuned = wrap(drift_gpt2.build()), wrap(drift_gpt2.build(SCALE))
        one = measure_drift(tuned, base, docs, parts=True)
        tuned.batch_tokens = 8
        small = measure_drift(tuned, base, docs, parts=True)
        joined = measure_drift(tuned, base, docs[:4]).extend(measure_drift(tuned, base, docs[4:]))
        for other in (small, joined):
            assert other.kl.values == pytest.approx(one.kl.values, abs=1e-12)
            assert other.residual is not None
            assert one.residual is not None
            assert other.residual.hsic == pytest.approx(one.residual.hsic, rel=1e-9)
        assert joined.head(4).total_variation.clusters == tuple(f"row {i}" for i in range(4))
        assert [part.top(3) for part in small.moved] == [part.top(3) for part in one.moved]
        assert whole[0].n == 12

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 1000), v=st.integers(2, 40), extra=st.integers(0, 5))
    def test_output_distances(self, seed: int, v: int, extra: int) -> None:
        """TV is symmetric, at most 1, at least 1 - sum of minima; also with ids that one model lacks."""
        generator = torch.Generator().manual_seed(seed)
        a = 4 * torch.randn(6, v, generator=generator, dtype=torch.float64)
        b = 4 * torch.randn(6, v + extra, generator=generator, dtype=torch.float64)
        there, back = output_drift.output_distances(a, b), output_drift.output_distances(b, a)
        p = torch.zeros(6, v + extra, dtype=torch.float64)
        p[:, :v] = a.softmax(-1)
        overlap = torch.minimum(p, b.softmax(-1)).sum(-1)
        assert torch.allclose(there[:, 0], 1 - overlap, atol=1e-12)
        assert torch.allclose(there[:, 0], back[:, 0], atol=1e-12)
        assert (there[:, 2] == back[:, 2]).all()
        assert (there[:, 1] >= 0).all()
        assert output_drift.output_distances(a, a).tolist() == [[0.0, 0.0, 1.0]] * 6


class TestArchitectures:
    @pytest.mark.parametrize("kind", ["llama", "mamba2", "falcon_h1", "rwkv", "gemma3n"])
    def test_transformers_state_space_hybrid_recurrent_and_several_streams(self, kind: str) -> None:
        module = builder.build(kind)
        base, scaled = wrap(module, id=kind), wrap(copy.deepcopy(module), id=f"{kind}, scaled")
        with torch.no_grad():
            for parameter in scaled.module.parameters():
                parameter.mul_(1.01)
        docs = documents([tuple(row) for row in builder.prompt(6, 10).tolist()])
        same = measure_drift(base, wrap(copy.deepcopy(module)), docs)
        moved = measure_drift(scaled, base, docs, parts=True)
        assert same.same
        assert not moved.same
        assert moved.residual is not None
        assert moved.residual.relative[0] == pytest.approx(0.01, rel=0.01)
        assert ((moved.residual.relative > 0) & (moved.residual.relative < 0.2)).all()
        assert (moved.residual.cosine.mean(0) > 0.98).all()
        assert moved.residual.cka.min() > 0.9
        assert measure_weight_drift(scaled, base).blocks == pytest.approx(
            0.01 * np.ones(base.anatomy.n_blocks), rel=1e-3
        )


@pytest.mark.shared
def test_noise_in_one_block_of_a_real_model_is_found_there(shared: Path) -> None:
    base = load(str(shared / "models" / "stories260k"))
    noisy = wrap(copy.deepcopy(base.module), base.tokenizer, id="noisy")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in noisy.module.named_parameters():
            if ".layers.2." in name:
                parameter.add_(0.02 * parameter.std() * torch.randn(parameter.shape, generator=generator))
    scores = measure_drift(noisy, base, SampledDocuments(base, 24).take(0, 16), parts=True)
    assert scores.residual is not None
    assert not scores.residual.moved[:, :3].any()
    assert scores.residual.moved[:, 3:].all()
    assert np.flatnonzero(measure_weight_drift(noisy, base).blocks).tolist() == [2]
    heads, neurons = scores.moved
    assert {row["block"] for row in heads.top(4) + neurons.top(4)} == {2}


class TestHeadsAndNeurons:
    def test_the_edited_ones_come_first(self) -> None:
        base, tuned = gpt2(4), gpt2(4)
        with torch.no_grad():
            width = 32 // 4
            values = tuned.module.transformer.h[1].attn.c_attn.weight[:, 64:]
            values[:, 2 * width : 3 * width] *= 3  # of head 2
            tuned.module.transformer.h[0].mlp.c_fc.weight[:, 17] += 1.0
        scores = measure_drift(tuned, base, documents([(0, *range(3, 20)), (0, *range(30, 60))]), parts=True)
        heads, neurons = scores.moved
        assert [row["neuron"] for row in neurons.top(500) if row["block"] == 0] == [17]
        in_block_1 = [row for row in heads.top(8) if row["block"] == 1]
        assert in_block_1[0]["head"] == 2
        untouched = [row["head"] for row in heads.top(8) if row["block"] == 0]
        assert untouched == []

    def test_a_model_without_heads_has_none(self) -> None:
        scores = measure_drift(mamba(), mamba(), documents([(0, 3, 4, 5, 6)]), parts=True)
        assert "heads" not in {part.kind for part in scores.moved}


class TestWhatCannotBeCompared:
    def test_another_width_or_depth_leaves_the_output(self) -> None:
        docs = documents([(0, 3, 4, 5, 6)])
        for other, word in ((gpt2(n_embd=16), "width"), (gpt2(n_layer=3), "depth")):
            scores = measure_drift(other, gpt2(), docs)
            assert scores.residual is None
            assert word in (scores.no_residual or "")
            assert scores.total_variation.estimate > 0

    def test_no_documents(self) -> None:
        with pytest.raises(UsageProblem, match="no documents"):
            measure_drift(gpt2(), gpt2(), [])

    def test_only_special_tokens(self) -> None:
        with pytest.raises(UsageProblem, match="document 'row 0' has no position that counts"):
            measure_drift(gpt2(), gpt2(), documents([(5, 0, 0)]))

    def test_too_long(self) -> None:
        with pytest.raises(ContextTooShort, match="do not fit its context of 8"):
            measure_drift(gpt2(n_positions=8), gpt2(), documents([tuple(range(3, 13))]))

    @pytest.mark.parametrize("whose", ["model", "base"])
    def test_nan_names_the_model_and_the_block(self, whose: str) -> None:
        pair = {"model": broken() if whose == "model" else gpt2(), "base": broken() if whose == "base" else gpt2()}
        with pytest.raises(NonFiniteMeasurement, match=r"broken: .* not finite at block 2 on document 'row 0'"):
            measure_drift(pair["model"], pair["base"], documents([(0, 3, 4)]))

    def test_nan_in_the_output_alone(self) -> None:
        model = gpt2()
        _ = model.anatomy
        with torch.no_grad():
            model.module.transformer.ln_f.weight.fill_(float("nan"))
        with pytest.raises(NonFiniteMeasurement, match="the output cannot be compared on document 'row 0'"):
            measure_drift(model, gpt2(), documents([(0, 3, 4)]))


def broken() -> Model:
    model = gpt2()
    _ = model.anatomy
    model = wrap(model.module, id="broken")
    _ = model.anatomy
    with torch.no_grad():
        model.module.transformer.h[1].mlp.c_proj.bias.fill_(float("nan"))
    return model
