"""Coders whose figures are known on paper, and data to judge them on (METHODS: O4)."""

from __future__ import annotations

from math import exp, sqrt

import torch

from interp_assert.coders.coder import Coder
from interp_assert.coders.jumprelu import JumpReluCoder
from interp_assert.coders.metrics import VarianceSums
from interp_assert.coders.relu import ReluCoder


def explained(coder: Coder, x: torch.Tensor) -> float:
    """VE of a coder on vectors, about their mean."""
    return VarianceSums.of(x, coder(x), x.double().mean(0)).about_own_mean


def gaussian(spectrum: list[float], n: int, seed: int = 0, mean: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """(x (n, d) with these variances along random orthonormal directions, the directions (d, d) in rows)."""
    generator = torch.Generator().manual_seed(seed)
    d = len(spectrum)
    directions = torch.linalg.qr(torch.randn(d, d, generator=generator)).Q
    scores = torch.randn(n, d, generator=generator) * torch.tensor(spectrum).sqrt()
    return scores @ directions + mean, directions


def pca_as_relu(directions: torch.Tensor, k: int, mean: torch.Tensor) -> ReluCoder:
    """PCA with k components as 2 k ReLU latents, one for each sign: VE the share of the first k eigenvalues, L0 k."""
    d = directions.shape[1]
    coder = ReluCoder((d,), 2 * k)
    with torch.no_grad():
        both = torch.cat([directions[:k], -directions[:k]])
        coder.W_enc.copy_(both)
        coder.W_dec.copy_(both)
        coder.b_dec.copy_(mean)
    return coder.requires_grad_(False)


def sparse_exponential(p: float, d: int, n: int, seed: int = 0) -> torch.Tensor:
    """(n, d): each of d orthonormal features is on with probability p, and then exponential with mean 1."""
    generator = torch.Generator().manual_seed(seed)
    on = torch.rand(n, d, generator=generator) < p
    return torch.where(on, -torch.rand(n, d, generator=generator).clamp_min(1e-30).log(), 0.0)


def thresholded(d: int, threshold: float) -> JumpReluCoder:
    """One latent for each feature; what is below the threshold is left out."""
    coder = JumpReluCoder((d,), d)
    with torch.no_grad():
        coder.W_enc.copy_(torch.eye(d))
        coder.W_dec.copy_(torch.eye(d))
        coder.threshold.fill_(threshold)
    return coder.requires_grad_(False)


def thresholded_theory(p: float, threshold: float) -> float:
    """1 - E[z^2; z <= t] / Var(z) for z = Bernoulli(p) x Exp(1): what falls below the threshold is lost."""
    t = threshold
    lost = p * (2.0 - exp(-t) * (t * t + 2.0 * t + 2.0))
    return 1.0 - lost / (2.0 * p - p * p)


def shrinkage_theory(gain: float) -> float:
    """A perfect coder whose reconstruction is scaled by ``gain`` explains 1 - (1 - gain)^2 of centred data."""
    return 1.0 - (1.0 - gain) ** 2


def topk_theory(d: int, k: int, n: int = 400_000, seed: int = 0) -> float:
    """TopK on isotropic Gaussians with an orthonormal dictionary of both signs: the k largest of d squared scores.

    Source: order statistics of d half-normals, here by simulation of them alone (no coder, no vectors).
    """
    scores = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).square()
    return float(scores.topk(k, -1).values.sum() / scores.sum())


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / sqrt(float(x.square().mean()))
