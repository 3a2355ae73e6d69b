"""The stream: each document is read once, what does not count is left out, memory is bounded, order is seeded."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence

import pytest
import torch
from measures.small import gpt2
from models.tiny import build

from interp_assert.coders import SiteReader, evaluate_coders, recipe_for, train_coder, train_coders
from interp_assert.coders.stream import ActivationStream, NothingVaries
from interp_assert.errors import NonFiniteMeasurement, SiteNotAvailable, UsageProblem
from interp_assert.models import Model, wrap
from interp_assert.prompts import SampledRows

from .readers import PlantedReader

SITE = "blocks.1.resid_post"


def numbered(n: int = 600, d: int = 3) -> torch.Tensor:
    """Vectors that tell which they are."""
    return torch.arange(n, dtype=torch.float32)[:, None].expand(n, d).contiguous()


def stream(n: int, capacity: int, seed: int = 0) -> ActivationStream:
    reader = PlantedReader(numbered(n), per_document=10)
    return ActivationStream(reader, reader.rows, seed=seed, elements=3 * capacity)  # type: ignore[arg-type]


class TestBuffer:
    def test_all_in_it_reads_each_document_once(self) -> None:
        made = stream(600, 1000)
        seen = torch.cat([batch[:, 0] for batch in made.batches(60, 25)])
        assert made.reader.read_rows == 60  # type: ignore[attr-defined]
        assert len(made.buffer) == 600
        for epoch in seen[:1200].split(600):
            assert sorted(epoch.tolist()) == list(range(600))
        assert made.mean.tolist() == pytest.approx([299.5] * 3)

    def test_a_small_one_sees_every_vector_and_never_grows(self) -> None:
        made = stream(600, 100)
        assert len(made.buffer) == 100
        seen = torch.cat([batch[:, 0].clone() for batch in made.batches(20, 300)])
        assert len(made.buffer) == 100
        counts = torch.bincount(seen.long(), minlength=600)
        assert counts.min() >= 5  # 6,000 draws, about 10 of each
        assert counts.max() <= 15
        assert made.reader.read_rows < 60 * 12  # type: ignore[attr-defined]

    def test_order_depends_on_the_seed_only(self) -> None:
        first, again, other = ([b[:, 0].clone() for b in stream(600, 100, seed).batches(20, 40)] for seed in (1, 1, 2))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not torch.equal(torch.cat(first), torch.cat(other))

    def test_batches_larger_than_the_documents(self) -> None:
        [batch] = stream(10, 100).batches(64, 1)
        assert len(batch) == 64
        assert set(batch[:, 0].tolist()) == set(range(10))

    def test_batches_larger_than_the_buffer(self) -> None:
        """Of which there are some for values as large as a state: they end, and all vectors have their turn."""
        seen = torch.cat([batch[:, 0].clone() for batch in stream(600, 50).batches(128, 30)])
        assert len(seen) == 30 * 128
        assert len(seen.unique()) > 500

    @pytest.mark.parametrize("noise", [0.0, 2e-7])
    def test_what_does_not_vary_has_nothing_to_explain(self, noise: float) -> None:
        """Nor what varies by as much as rounding makes it, from one shape of batch to another."""
        vectors = torch.tensor([3.3, -120.0, 1e-4]).repeat(40, 1)
        vectors[::2] *= 1.0 + noise
        reader = PlantedReader(vectors)
        with pytest.raises(NothingVaries, match="is the same on all 40 tokens"):
            ActivationStream(reader, reader.rows, seed=0)  # type: ignore[arg-type]
        documents = [(str(row[0]), row) for row in reader.rows]
        with pytest.raises(NothingVaries, match="is the same on all 40 tokens of these documents"):
            evaluate_coders(reader, [lambda x: x], documents, torch.zeros(3))  # type: ignore[arg-type]

    def test_a_dimension_that_varies_beside_a_large_one_is_something(self) -> None:
        vectors = torch.tensor([3000.0, 0.0, 0.0]).repeat(40, 1)
        vectors[::2, 1] = 1e-3
        reader = PlantedReader(vectors)
        assert ActivationStream(reader, reader.rows, seed=0).scale > 0.0  # type: ignore[arg-type]

    def test_a_reconstruction_that_is_not_finite_is_no_figure(self) -> None:
        reader = PlantedReader(torch.randn(40, 3))
        documents = [(str(row[0]), row) for row in reader.rows]
        with pytest.raises(NonFiniteMeasurement, match="a reconstruction is not finite"):
            evaluate_coders(reader, [lambda x: x * 1e38 * 1e38], documents, torch.zeros(3))  # type: ignore[arg-type]


class TestMemory:
    """What was read is let go of before more than one further piece is read, however many documents there are."""

    class Watched(PlantedReader):
        def read(self, rows: Sequence[Sequence[int]]) -> Iterator[list[torch.Tensor]]:
            given: list[weakref.ref[torch.Tensor]] = []
            for start in range(0, len(rows), 4):
                assert sum(vectors() is not None for vectors in given[:-4]) == 0
                piece = [self.pieces[row[0]].clone() for row in rows[start : start + 4]]
                given += [weakref.ref(vectors) for vectors in piece]
                yield piece
                del piece

    def test_judging(self) -> None:
        reader = self.Watched(torch.randn(3000, 6), per_document=10)
        documents = [(str(row[0]), row) for row in reader.rows]
        [scores] = evaluate_coders(reader, [lambda x: 0.5 * x], documents, torch.zeros(6))  # type: ignore[arg-type]
        assert scores.by_document == pytest.approx(0.75)
        assert len(scores.sums) == 300

    def test_training_beyond_the_buffer(self) -> None:
        reader = self.Watched(torch.randn(3000, 6), per_document=10)
        made = ActivationStream(reader, reader.rows, seed=0, elements=6 * 200)  # type: ignore[arg-type]
        for _ in made.batches(50, 100):
            assert made.buffer.numel() == 6 * 200


class TestReader:
    def test_the_first_position_and_special_ids_do_not_count(self) -> None:
        model = gpt2()
        rows = [[0, 5, 6, 7], [9, 5, 0, 7]]
        [piece] = SiteReader(model, SITE).read(rows)
        values = model.trace(torch.tensor(rows), [SITE])[SITE]
        assert torch.equal(piece[0], values[0, 1:])
        assert torch.equal(piece[1], values[1, [1, 3]])  # position 0 is no BOS, and does not count either

    def test_several_coders_share_the_passes_of_one(self) -> None:
        passes = []
        for count in (1, 3):
            model = gpt2()
            model.anatomy  # noqa: B018  # found now, not counted below
            reader = SiteReader(model, SITE)
            documents = SampledRows(model, 16, 0)
            documents.training(1000)
            before = model.meter.forward_passes
            train_coders(reader, [recipe_for(32, steps=30, tokens=1000, seed=seed) for seed in range(count)], documents)
            passes.append(model.meter.forward_passes - before)
        assert passes[0] == passes[1] == 1

    def test_a_state_is_a_matrix_and_a_head_of_it_can_be_picked(self) -> None:
        model = wrap(build("mamba2"))
        whole, head = SiteReader(model, "blocks.1.state"), SiteReader(model, "blocks.1.state", head=3)
        assert (whole.axes, whole.shape, head.shape) == ((8, 8, 8), (64, 8), (8, 8))
        ids = [[4, 9, 11, 7]]
        [[all_heads]], [[one]] = whole.read(ids), head.read(ids)
        assert torch.equal(all_heads.view(3, 8, 64)[:, 3], one)
        value = model.trace(ids, ["blocks.1.state"])["blocks.1.state"]
        changed = head.put_back(value, torch.zeros(1, 4, 64))
        assert not changed[:, :, 3].any()
        assert torch.equal(changed[:, :, 4], value[:, :, 4])
        assert [SiteReader.of_matrices(model, "blocks.1.state", asked).head for asked in (None, 3)] == [0, 3]
        assert SiteReader.of_matrices(model, "blocks.1.resid_post").head is None

    @pytest.mark.parametrize(
        ("site", "head", "error", "match"),
        [
            ("blocks.7.resid_post", None, SiteNotAvailable, "the model has 2 blocks"),
            ("blocks.0.state", None, SiteNotAvailable, "blocks.0.state"),
            ("blocks.*.resid_post", None, UsageProblem, "means 2 sites; a coder is for one"),
            ("blocks.0.attn.pattern", None, UsageProblem, "its width is that of the text"),
            ("blocks.0.resid_post", 1, UsageProblem, "has no heads"),
            ("blocks.0.attn.head_out", "1", UsageProblem, "head='1'"),
            ("blocks.0.attn.head_out", 4, UsageProblem, "has heads 0 to 3"),
        ],
    )
    def test_sites_that_cannot_be_read(self, site: str, head: int | None, error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            SiteReader(gpt2(), site, head)

    def test_activations_that_are_not_finite(self) -> None:
        model = gpt2()
        reader = SiteReader(model, SITE)
        with torch.no_grad():
            model.module.transformer.h[1].mlp.c_proj.bias[3] = float("nan")
        with pytest.raises(NonFiniteMeasurement, match=r"blocks.1.resid_post is not finite on document 0"):
            list(reader.read([[0, 5, 6]]))


class TestTrainCoder:
    def test_says_where_the_coder_comes_from_and_repeats(self) -> None:
        heard: list[tuple[int, int]] = []

        def trained(model: Model) -> list[torch.Tensor]:
            coder = train_coder(
                model, site="blocks.-1.resid_post", d_sae=48, k=4, steps=60, length=16, tokens=600, seed=3,
                each=lambda done, steps: heard.append((done, steps)),
            )  # fmt: skip
            assert coder.origin is not None
            assert (coder.origin.model, coder.origin.site) == ("random-gpt2-0", SITE)
            assert (coder.origin.recipe.k, coder.origin.recipe.seed, coder.origin.recipe.tokens) == (4, 3, 600)
            assert "sampled from the model itself" in coder.origin.documents
            return list(coder.parameters())

        first, again = trained(gpt2()), trained(gpt2())
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert heard[-1] == (60, 60)

    @pytest.mark.parametrize(
        ("chosen", "match"),
        [
            ({"kind": "rank1"}, "is a vector of 32"),
            ({"length": 1}, "length=1"),
            ({"colour": 1}, "a recipe has no colour"),
            ({"documents": []}, "holds at least one"),
        ],
    )
    def test_impossible_requests(self, chosen: dict[str, object], match: str) -> None:
        with pytest.raises(UsageProblem, match=match):
            train_coder(gpt2(), site=SITE, **chosen)  # type: ignore[arg-type]
