"""Training: planted dictionaries are found, habits are kept, the same seed gives the same coder."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from interp_assert.coders import Coder, fit_coders, kinds, recipe_for, register_kind
from interp_assert.coders.dictionary import random_rows
from interp_assert.coders.metrics import VarianceSums
from interp_assert.coders.rank1 import Rank1Coder
from interp_assert.coders.sparse import encode_topk
from interp_assert.coders.topk import TopKCoder
from interp_assert.errors import NonFiniteMeasurement, UsageProblem

from .planted import explained
from .readers import quick, sparse_sums, stream_of


def atoms(count: int = 40, d: int = 20, seed: int = 99) -> torch.Tensor:
    """Not of the seed that coders begin with: they would begin with these."""
    return random_rows(count, d, torch.Generator().manual_seed(seed))


class TestTopK:
    def test_finds_more_features_than_dimensions(self) -> None:
        true = atoms()
        x = sparse_sums(true, 3, 8000, low=1.0, high=2.0)
        [coder] = fit_coders(stream_of(x), [quick(20, d_sae=80, k=3, steps=600)])
        nearest = (true @ coder.decoder().T).amax(-1)
        assert explained(coder, x) > 0.85
        assert float((nearest > 0.9).float().mean()) > 0.8
        untrained = TopKCoder.begin(quick(20, d_sae=80, k=3), (20,), x.mean(0), torch.Generator().manual_seed(0))
        assert explained(untrained, x) < 0.6

    def test_keeps_its_habits(self) -> None:
        x = sparse_sums(atoms(), 3, 4000) * 7.0 + torch.arange(20.0)
        stream = stream_of(x)
        [coder] = fit_coders(stream, [quick(20, d_sae=80, k=3)])
        assert coder.decoder().norm(dim=-1).numpy() == pytest.approx(1.0, abs=1e-5)
        assert (coder.b_dec - x.mean(0)).norm() < 0.3 * (x - x.mean(0)).norm(dim=-1).mean()
        assert not any(parameter.requires_grad for parameter in coder.parameters())
        assert stream.scale == pytest.approx(float((x - x.mean(0)).square().mean().sqrt()), rel=1e-4)
        assert explained(coder, x) > 0.7  # on the site's own scale, far from 0
        code = coder.encode(x)
        assert code.active() <= 3 * len(x)

    def test_parallel_gradients_are_dropped(self) -> None:
        coder = TopKCoder.begin(quick(20, k=3), (20,), torch.zeros(20), torch.Generator().manual_seed(0))
        coder.W_dec.grad = 3.0 * coder.W_dec.detach() + atoms(80, seed=1)
        coder.drop_parallel_gradients()
        assert (coder.W_dec.grad * coder.W_dec).sum(-1).abs().max() < 1e-5

    def test_dead_latents_come_back(self) -> None:
        """Latents that never win are trained on what the others leave over; without that they stay silent."""
        many = atoms(300, 32)
        common = torch.randn(6000, 1, generator=torch.Generator().manual_seed(1)) * many[0]
        x = sparse_sums(many, 4, 6000, low=0.5, high=2.0) + common
        dead, ve = [], []
        for aux in (0.0, 1 / 32):
            [coder] = fit_coders(
                stream_of(x), [quick(32, d_sae=256, k=4, aux=aux, dead_after=2000, steps=300, lr=0.02)]
            )
            dead.append(float((coder.encode(x).firings() == 0).float().mean()))
            ve.append(explained(coder, x))
        assert dead[0] > 0.08
        assert dead[1] < 0.3 * dead[0]
        assert ve[1] > ve[0]

    def test_frozen_atoms_stay_as_drawn(self) -> None:
        x = sparse_sums(atoms(), 3, 4000)
        trained, frozen = fit_coders(stream_of(x), [quick(20, k=3), quick(20, k=3, frozen_decoder=True)])
        assert torch.equal(frozen.decoder(), random_rows(80, 20, torch.Generator().manual_seed(0)))
        assert explained(frozen, x) < explained(trained, x) - 0.1


class TestRelu:
    def test_a_larger_penalty_leaves_fewer_latents(self) -> None:
        x = sparse_sums(atoms(), 3, 4000)
        coders = fit_coders(stream_of(x), [quick(20, "relu", l1=l1, steps=400) for l1 in (0.02, 0.2, 0.6)])
        l0 = [coder.encode(x).active() / len(x) for coder in coders]
        ve = [explained(coder, x) for coder in coders]
        assert l0[0] > 2 * l0[1] > 2 * l0[2]
        assert ve[0] > 0.95 > ve[1] > ve[2]


class TestRank1:
    """Sums of products of orthogonal vectors, whose explained variance is known."""

    ROWS, COLUMNS = 6, 5

    def products(self) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(4)
        left = torch.linalg.qr(torch.randn(self.ROWS, self.ROWS, generator=generator)).Q[:5]
        right = torch.linalg.qr(torch.randn(self.COLUMNS, self.COLUMNS, generator=generator)).Q
        return left, right

    def flat(self) -> torch.Tensor:
        left, right = self.products()
        return torch.einsum("ir,ic->irc", left, right).flatten(1)

    def planted(self, k: int) -> Rank1Coder:
        coder = Rank1Coder((self.ROWS, self.COLUMNS), 5, k)
        left, right = self.products()
        with torch.no_grad():
            for parameter, value in zip(
                (coder.v_enc, coder.w_enc, coder.v_dec, coder.w_dec), (left, right) * 2, strict=True
            ):
                parameter.copy_(value)
        return coder.requires_grad_(False)

    @pytest.mark.parametrize(("k", "share"), [(1, 16 / 21), (2, 20 / 21), (3, 1.0)])
    def test_explains_the_share_of_its_atoms(self, k: int, share: float) -> None:
        """Weights 4, 2, 1 on three orthogonal atoms: the k largest have 16, 20 or 21 of 21 parts of the square."""
        x = self.flat()[:3].mul(torch.tensor([4.0, 2.0, 1.0])[:, None]).sum(0, keepdim=True)
        sums = VarianceSums.of(x, self.planted(k)(x), torch.zeros(x.shape[1]))
        assert sums.about_centre == pytest.approx(share, abs=1e-6)

    def test_code_and_reconstruction_are_those_of_the_definition(self) -> None:
        coder = self.planted(2)
        with torch.no_grad():
            coder.b_enc.copy_(torch.linspace(-0.2, 0.2, 5))
            coder.b_dec.copy_(torch.linspace(-1, 1, 30))
        s = torch.randn(1, 30, generator=torch.Generator().manual_seed(2))
        matrix = (s - coder.b_dec).view(self.ROWS, self.COLUMNS)
        scores = torch.stack([v @ matrix @ w for v, w in zip(coder.v_enc, coder.w_enc, strict=True)]) + coder.b_enc
        value, index = scores.relu().topk(2)
        expected = coder.b_dec.view(self.ROWS, self.COLUMNS).clone()
        for a, i in zip(value, index, strict=True):
            expected += a * torch.outer(coder.v_dec[i], coder.w_dec[i])
        torch.testing.assert_close(coder(s), expected.flatten()[None])

    def test_training_finds_them_with_fewer_numbers_than_a_dense_coder_needs(self) -> None:
        x = sparse_sums(self.flat(), 2, 6000, low=1.0, high=2.0)
        stream = stream_of(x, shape=(self.ROWS, self.COLUMNS))
        rank1, dense = fit_coders(stream, [quick(30, kind, d_sae=20, k=2, steps=600) for kind in ("rank1", "topk")])
        assert explained(rank1, x) > 0.9
        assert sum(p.numel() for p in rank1.parameters()) < 0.5 * sum(p.numel() for p in dense.parameters())
        assert rank1.settings()["numbers_per_atom"] == 11

    def test_dead_latents_are_trained_a_few_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Half as many as an atom has numbers: 5 of 11, where an atom of free numbers has 30."""
        asked = []

        def watched(*args: Any, **kwargs: Any) -> Any:
            asked.append(kwargs["k_among"])
            return encode_topk(*args, **kwargs)

        monkeypatch.setattr("interp_assert.coders.topk.encode_topk", watched)
        x = sparse_sums(self.flat(), 2, 100)
        everything, recipe = torch.full((20,), True), quick(30, "rank1", d_sae=20, k=2)
        coder = Rank1Coder.begin(recipe, (self.ROWS, self.COLUMNS), x.mean(0), torch.Generator().manual_seed(0))
        coder.loss(x, x, everything, recipe)
        TopKCoder.begin(recipe, (30,), x.mean(0), torch.Generator().manual_seed(0)).loss(x, x, everything, recipe)
        assert asked == [5, 15]

    def test_vectors_are_refused(self) -> None:
        with pytest.raises(UsageProblem, match=r"a rank1 coder codes matrices.* is a vector of 20"):
            fit_coders(stream_of(sparse_sums(atoms(), 3, 400)), [quick(20, "rank1", k=3)])


class TestDeterminism:
    def test_the_same_seed_gives_the_same_bits_alone_or_in_company(self) -> None:
        x = sparse_sums(atoms(), 3, 2000)
        [alone] = fit_coders(stream_of(x), [quick(20, k=3, steps=60, seed=1)])
        stream = stream_of(x)
        both = fit_coders(stream, [quick(20, k=3, steps=60, seed=seed) for seed in (0, 1)])
        [again] = fit_coders(stream, [quick(20, k=3, steps=60, seed=1)])
        for one, other, third in zip(alone.parameters(), both[1].parameters(), again.parameters(), strict=True):
            assert torch.equal(one, other)
            assert torch.equal(one, third)
        assert not torch.equal(both[0].decoder(), both[1].decoder())

    def test_the_global_random_state_is_left_alone(self) -> None:
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        fit_coders(stream_of(sparse_sums(atoms(), 3, 500)), [quick(20, k=3, steps=5)])
        assert torch.equal(torch.rand(3), expected)


class TestProblems:
    def test_a_rate_that_blows_up_is_told(self) -> None:
        with pytest.raises(NonFiniteMeasurement, match="take a smaller learning rate than 1e\\+30"):
            fit_coders(stream_of(sparse_sums(atoms(), 3, 500)), [quick(20, "relu", lr=1e30, steps=30)])

    def test_batches_of_two_sizes(self) -> None:
        recipes = [quick(20, k=3, batch=batch) for batch in (64, 128)]
        with pytest.raises(UsageProblem, match=r"these want \[64, 128\] vectors"):
            fit_coders(stream_of(sparse_sums(atoms(), 3, 500)), recipes)

    def test_what_a_recipe_fills_in(self) -> None:
        def filled(d_in: int | tuple[int, ...], kind: str = "topk", **chosen: int) -> tuple[object, ...]:
            recipe = recipe_for(d_in, kind, **chosen)
            return recipe.d_sae, recipe.k, recipe.batch, recipe.tokens

        assert filled(64) == (256, 8, 256, 16384)
        assert filled(768, d_sae=8192) == (8192, 32, 2048, 131072)  # each token as often as with few latents
        assert filled((128, 16), "rank1") == (576, 8, 256, 16384)  # its atoms have 144 numbers, not 2,048
        assert filled((128, 16), "topk", d_sae=300, k=5) == (300, 5, 256, 16384)

    @pytest.mark.parametrize(
        ("kind", "chosen", "match"),
        [
            ("topk", {"d_sae": 0}, "d_sae=0 must be a whole number of at least 1"),
            ("topk", {"k": 100}, "k=100 of d_sae=80"),
            ("topk", {"steps": 1.5}, "steps=1.5"),
            ("topk", {"lr": float("nan")}, "lr=nan"),
            ("topk", {"colour": 3}, "a recipe has no colour"),
            ("relu", {"k": 4}, "has no k=4"),
            ("jumprelu", {}, "are loaded, not trained"),
            ("magic", {}, "no kind of coder 'magic'; there are topk, relu, jumprelu, rank1"),
        ],
    )
    def test_impossible_recipes(self, kind: str, chosen: dict[str, object], match: str) -> None:
        with pytest.raises(UsageProblem, match=match):
            recipe_for(20, kind, **chosen)


def test_a_kind_of_ones_own_is_trained_like_any_other() -> None:
    class Absolute(TopKCoder):
        kind = "test_only"

    register_kind(Absolute)
    try:
        once_more = {"__module__": Absolute.__module__, "__qualname__": Absolute.__qualname__}
        register_kind(type("Absolute", (TopKCoder,), {"kind": "test_only", **once_more}))  # as a notebook would
        register_kind(Absolute)
        assert list(kinds())[-1] == "test_only"
        [coder] = fit_coders(stream_of(sparse_sums(atoms(), 3, 500)), [quick(20, "test_only", k=3, steps=20)])
        assert isinstance(coder, Absolute)
        assert isinstance(coder, Coder)
        with pytest.raises(UsageProblem, match="named 'topk' already"):
            register_kind(type("Other", (TopKCoder,), {}))
    finally:
        from interp_assert.coders import coder as registry

        registry._kinds.pop("test_only")
