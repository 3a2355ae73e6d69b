"""Variance explained: the identities that hold for it, the formulas that are not it, and coders known on paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp_assert.coders import recipe_for
from interp_assert.coders.metrics import CoderScores, VarianceSums
from interp_assert.coders.relu import ReluCoder
from interp_assert.coders.topk import TopKCoder

from .planted import (
    explained,
    gaussian,
    pca_as_relu,
    shrinkage_theory,
    sparse_exponential,
    thresholded,
    thresholded_theory,
    topk_theory,
)


def ve(x: torch.Tensor, reconstructed: torch.Tensor, centre: torch.Tensor | None = None) -> float:
    return VarianceSums.of(x, reconstructed, torch.zeros(x.shape[1]) if centre is None else centre).about_own_mean


@pytest.fixture
def x() -> torch.Tensor:
    """2,000 vectors of 16 dimensions around a mean far from 0, of which a few are long (heteroscedastic)."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.where(torch.rand(2000, 1, generator=generator) < 0.02, 60.0, 1.0)
    return torch.randn(2000, 16, generator=generator) * lengths + 40.0


class TestIdentities:
    def test_the_mean_explains_nothing_and_a_copy_everything(self, x: torch.Tensor) -> None:
        assert ve(x, x.double().mean(0).expand_as(x)) == pytest.approx(0.0, abs=1e-12)
        assert ve(x, x) == 1.0

    def test_a_constant_offset_is_an_error(self, x: torch.Tensor) -> None:
        """dictionary_learning gives 1 here, since it takes the variance of the difference."""
        offset = x + 40.0
        variance = float((x.double() - x.double().mean(0)).square().sum()) / len(x)
        assert ve(x, offset) == pytest.approx(1.0 - 16 * 40.0**2 / variance, rel=1e-6)
        assert ve(x, offset) < 0.0

    def test_zero_is_worse_than_the_mean(self, x: torch.Tensor) -> None:
        assert ve(x, torch.zeros_like(x)) < 0.0

    def test_it_is_sklearns_r2_weighted_by_variance(self, x: torch.Tensor) -> None:
        sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
        noisy = x + torch.randn_like(x) * x.std()
        reference = sklearn.r2_score(x.double().numpy(), noisy.double().numpy(), multioutput="variance_weighted")
        assert ve(x, noisy) == pytest.approx(reference, abs=1e-12)

    def test_pieces_and_the_centre_do_not_matter(self, x: torch.Tensor) -> None:
        noisy = x * 0.9
        for centre in (torch.zeros(16), x.mean(0), torch.full((16,), 38.0)):
            pieces = [VarianceSums.of(a, b, centre) for a, b in zip(x.split(170), noisy.split(170), strict=True)]
            pooled = sum(pieces[1:], start=pieces[0])
            assert pooled.n == len(x)
            assert pooled.about_own_mean == pytest.approx(ve(x, noisy), abs=1e-9)

    def test_float64_sums_keep_what_float32_loses(self) -> None:
        x = torch.randn(100_000, 4, generator=torch.Generator().manual_seed(0)) * 0.1 + 300.0
        exact = 1.0 - float((x.double() * 1e-4).square().sum() / (x.double() - x.double().mean(0)).square().sum())
        lost = 1.0 - float((x * 1e-4).square().sum() / (x.square().sum() - len(x) * x.mean(0).square().sum()))
        found = ve(x, x.double() * (1 - 1e-4), x.mean(0))  # type: ignore[arg-type]
        assert found == pytest.approx(exact, abs=1e-9)
        assert abs(lost - exact) > 1e-3


class TestFormulasThatAreNotIt:
    """What other tools compute gives other numbers on the same vectors, so a test would notice it here."""

    @pytest.fixture
    def reconstructed(self, x: torch.Tensor) -> torch.Tensor:
        """Long vectors come out well, short ones as the mean with some noise."""
        generator = torch.Generator().manual_seed(5)
        long = (x - 40.0).norm(dim=-1, keepdim=True) > 20
        return torch.where(long, 0.95 * (x - 40.0) + 40.0, 40.0 + torch.randn(x.shape, generator=generator))

    def test_the_mean_of_ratios_by_token(self, x: torch.Tensor, reconstructed: torch.Tensor) -> None:
        a, b = x.double(), reconstructed.double()
        legacy = float((1 - (a - b).square().sum(-1) / (a - a.mean(0)).square().sum(-1)).mean())
        assert ve(x, reconstructed) > 0.9
        assert legacy < 0.0

    def test_the_double_square(self, x: torch.Tensor, reconstructed: torch.Tensor) -> None:
        a, b = x.double(), reconstructed.double()
        total = a.square().sum(-1).mean() - (a.square().sum(-1).mean() / a.shape[1]) ** 2
        assert float(1 - (a - b).square().sum(-1).mean() / total) > 1.0
        assert ve(x, reconstructed) == pytest.approx(0.97, abs=0.01)

    def test_the_mean_over_dimensions(self, reconstructed: torch.Tensor) -> None:
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(2000, 2, generator=generator) * torch.tensor([10.0, 0.1])
        only_one = torch.stack([x[:, 0], torch.zeros(2000)], -1)
        by_dimension = float((1 - (x - only_one).square().mean(0) / x.var(0)).mean())
        assert by_dimension == pytest.approx(0.5, abs=0.01)
        assert ve(x, only_one) > 0.999

    def test_the_variance_of_the_error(self, x: torch.Tensor) -> None:
        offset = x + 40.0
        assert float(1 - (x - offset).double().var(0).sum() / x.double().var(0).sum()) == pytest.approx(1.0)
        assert ve(x, offset) < -1.0


class TestCodersKnownOnPaper:
    """O4."""

    @pytest.mark.parametrize(("k", "spectrum"), [(2, [4.0, 2.0, 1.0, 1.0]), (5, [2.0**-i for i in range(12)])])
    def test_pca_as_relu_latents(self, k: int, spectrum: list[float]) -> None:
        x, directions = gaussian(spectrum, 100_000, mean=3.0)
        coder = pca_as_relu(directions, k, torch.full((len(spectrum),), 3.0))
        assert explained(coder, x) == pytest.approx(sum(spectrum[:k]) / sum(spectrum), abs=2e-3)
        assert coder.encode(x).active() == k * len(x)

    @pytest.mark.parametrize("threshold", [0.1, 0.5, 1.0])
    def test_jumprelu_loses_what_is_below_its_threshold(self, threshold: float) -> None:
        x = sparse_exponential(0.1, 20, 100_000)
        assert explained(thresholded(20, threshold), x) == pytest.approx(thresholded_theory(0.1, threshold), abs=2e-3)

    @pytest.mark.parametrize("gain", [0.5, 0.9, 1.05])
    def test_shrinkage_costs_its_square(self, gain: float) -> None:
        x, directions = gaussian([1.0] * 6, 100_000)
        coder = pca_as_relu(directions, 6, torch.zeros(6))
        with torch.no_grad():
            coder.W_dec.mul_(gain)
        assert explained(coder, x) == pytest.approx(shrinkage_theory(gain), abs=2e-3)

    @pytest.mark.parametrize("k", [4, 8, 16])
    def test_topk_explains_much_of_noise_without_any_feature(self, k: int) -> None:
        d = 32
        coder = TopKCoder((d,), 2 * d, k)
        with torch.no_grad():
            both = torch.cat([torch.eye(d), -torch.eye(d)])
            coder.W_enc.copy_(both)
            coder.W_dec.copy_(both)
            x = torch.randn(50_000, d, generator=torch.Generator().manual_seed(7))
            found = explained(coder, x)
        assert found == pytest.approx(topk_theory(d, k), abs=3e-3)
        assert found == pytest.approx({4: 0.482, 8: 0.707, 16: 0.920}[k], abs=3e-3)

    def test_a_tied_dictionary_that_nobody_trained_is_far_worse_than_the_mean(self) -> None:
        """Sums of m random half-spaces in d dimensions: VE = m / 2d - m (m - 1) / 4d^2, over which atoms average."""
        d, m = 32, 512
        coder = ReluCoder.begin(recipe_for(d, "relu", d_sae=m), (d,), torch.zeros(d), torch.Generator().manual_seed(0))
        x = torch.randn(4000, d, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            assert explained(coder, x) == pytest.approx(m / (2 * d) - m * (m - 1) / (4 * d * d), rel=0.05)

    def test_only_the_mean(self) -> None:
        x, _ = gaussian([1.0] * 4, 10_000, mean=5.0)
        coder = TopKCoder((4,), 8, 2)
        with torch.no_grad():
            coder.b_dec.copy_(x.mean(0))
            assert explained(coder, x) == pytest.approx(0.0, abs=1e-6)
            assert coder.encode(x).active() == 0


class TestScores:
    def make(self, explained_by: list[float], active: int | None = 10) -> CoderScores:
        sums = tuple(VarianceSums(5, 1.0 - v, 1.0, np.zeros(3)) for v in explained_by)
        firings = None if active is None else np.array([4, 0, 6])
        return CoderScores(tuple(f"d{v}" for v in explained_by), sums, active, firings)

    def test_documents_have_their_own(self) -> None:
        scores = self.make([0.5, 0.9])
        assert scores.by_document.tolist() == pytest.approx([0.5, 0.9])
        assert scores.variance_explained == pytest.approx(0.7)
        assert scores.l0 == 1.0
        assert scores.dead == pytest.approx(1 / 3)

    def test_they_extend(self) -> None:
        both = self.make([0.5]).extend(self.make([0.9]))
        assert both.documents == ("d0.5", "d0.9")
        assert both.l0 == 2.0
        assert both.firings is not None
        assert both.firings.tolist() == [8, 0, 12]
        assert both.head(1).documents == ("d0.5",)

    def test_a_document_that_does_not_vary_has_none(self) -> None:
        scores = CoderScores(("a",), (VarianceSums(3, 0.0, 0.0, np.zeros(2)),))
        assert np.isnan(scores.by_document[0])
        assert scores.l0 is None
