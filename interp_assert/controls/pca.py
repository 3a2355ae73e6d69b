"""PCA of equal rank: what as many fixed directions explain as the coder has active latents (METHODS: C10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageProblem
from ..stats import ErrorLevels
from .by_document import BetterByDocument

if TYPE_CHECKING:
    import torch

    from ..coders.metrics import Reconstruction

__all__ = ["pca_control", "principal_components"]

_EXACT = 1024
"""widths up to which the covariance is decomposed in full"""
_ROUNDS = 8
"""of subspace iteration beyond that"""


def pca_control(
    rank: int, margin: float, pi: float, levels: ErrorLevels, *, population: int | None = None
) -> BetterByDocument:
    """The coder against its vectors' best approximation of rank ``rank``."""
    note = f"projection on the first {rank} principal components of the training activations"
    return BetterByDocument("pca", margin, pi, levels, note=note, population=population)


def principal_components(sample: torch.Tensor, mean: torch.Tensor, rank: int) -> Reconstruction:
    """The projection (n, d) -> (n, d) on ``mean`` (d,) plus the first ``rank`` principal components of ``sample``.

    Exact up to 1,024 dimensions; above, by subspace iteration with twice as many directions as are kept. Raises
    UsageProblem unless 1 <= rank <= d.
    """
    import torch

    width = sample.shape[1]
    if not 1 <= rank <= width:
        raise UsageProblem(f"rank={rank}: {width} dimensions have 1 to {width} principal components")
    centre = mean.to(sample)
    about = sample - centre
    if width <= _EXACT:
        _, vectors = torch.linalg.eigh((about.T @ about).double())
        basis = vectors[:, -rank:].to(sample)
    else:
        wide = min(width, 2 * rank + 8)
        generator = torch.Generator().manual_seed(0)
        basis = torch.randn(width, wide, generator=generator).to(sample)
        for _ in range(_ROUNDS):
            basis = torch.linalg.qr(about.T @ (about @ basis)).Q
        _, _, turned = torch.linalg.svd(about @ basis, full_matrices=False)
        basis = basis @ turned[:rank].T

    def project(x: torch.Tensor) -> torch.Tensor:
        return (x - centre) @ basis @ basis.T + centre

    return project
