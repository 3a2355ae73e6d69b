"""Debiased linear CKA: are the directions in which two representations vary the same, whatever their scale and axes?

The biased estimate calls unrelated Gaussians alike where positions are fewer than dimensions (0.89 at 32 x 256), and
anything alike that shares one huge activation. The debiased one leaves every position's product with itself out
(Song et al. 2012, HSIC_1; Kornblith et al. 2019 for CKA; Nguyen et al. 2021 for averaging it over minibatches).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["LEAST_POSITIONS", "debiased_linear_cka", "hsic", "pooled_cka"]

LEAST_POSITIONS = 4
"""HSIC_1 divides by n - 3"""
_NO_SPREAD = 1e-24
"""share of the squared norm below which differences between positions are those of rounding, even in float64"""


def debiased_linear_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    """The CKA of two representations (n, width) and (n, other width) of the same n >= 4 positions: 1 for the same up
    to rotation and scale, about 0 for unrelated ones (it can fall below), NaN if one of them does not vary.
    """
    import torch

    keep = torch.ones(1, x.shape[0], dtype=torch.bool, device=x.device)
    return float(pooled_cka(hsic(x[None], y[None], keep).cpu().numpy()))


def hsic(x: torch.Tensor, y: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """(batch, 3): the unbiased HSIC of (x, y), (x, x) and (y, y) with linear kernels, float64, of each row by itself.

    ``x`` (batch, pos, width), ``y`` (batch, pos, other width), ``keep`` (batch, pos) which positions count. A row with
    fewer than four of them gets zeros.
    """
    import torch

    n = keep.sum(-1).double()
    grams = [_gram(values, keep) for values in (x, y)]
    return torch.stack([_hsic_1(grams[a], grams[b], n) for a, b in ((0, 1), (0, 0), (1, 1))], -1)


def _gram(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """(batch, pos, pos) products of the positions that count, without those of a position with itself.

    HSIC_1 is blind to translation; the mean is taken off because a large one would cost digits.
    """
    values, keep = values.double(), keep[..., None]
    mean = (values * keep).sum(-2, keepdim=True) / keep.sum(-2, keepdim=True).clamp_min(1)
    kept = (values - mean) * keep
    spread, size = (part.square().sum((-2, -1), keepdim=True) for part in (kept, values * keep))
    kept = kept * (spread > _NO_SPREAD * size)
    gram = kept @ kept.mT
    gram.diagonal(dim1=-2, dim2=-1).zero_()
    return gram


def _hsic_1(gram: torch.Tensor, other: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    """Song et al. 2012, equation 5: [tr(KL) + 1'K1 1'L1 / ((n-1)(n-2)) - 2/(n-2) 1'KL1] / (n (n-3))."""
    import torch

    sums, others = gram.sum(-1), other.sum(-1)
    trace = (gram * other).sum((-2, -1))
    total = sums.sum(-1) * others.sum(-1) / ((n - 1) * (n - 2))
    value = (trace + total - 2 / (n - 2) * (sums * others).sum(-1)) / (n * (n - 3))
    return torch.where(n >= LEAST_POSITIONS, value, 0.0)


def pooled_cka(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """CKA from HSIC terms (rows, ..., 3), averaged over the rows before the ratio is taken: (...). NaN where one of the
    two representations does not vary.
    """
    cross, own_x, own_y = np.moveaxis(np.asarray(terms, dtype=np.float64).mean(0), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((own_x > 0) & (own_y > 0), cross / np.sqrt(own_x * own_y), np.nan)
