"""What a coder makes of activations: which latents are active on each vector, and how much."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Code", "DenseCode", "SparseCode"]


@dataclass(frozen=True)
class SparseCode:
    """At most k active latents for each of n vectors.

    Attributes:
        index: (n, k) latents.
        value: (n, k) how active; 0 for an entry that is not.
        d_sae: number of latents.
    """

    index: torch.Tensor
    value: torch.Tensor
    d_sae: int

    def active(self) -> int:
        """Entries that are not 0, over all vectors."""
        return int((self.value != 0).sum())

    def firings(self) -> torch.Tensor:
        """(d_sae,) on how many vectors each latent is active."""
        return torch.bincount(self.index[self.value != 0], minlength=self.d_sae)

    def dense(self) -> torch.Tensor:
        """(n, d_sae), zeros included: for a few vectors only."""
        return self.value.new_zeros(len(self.value), self.d_sae).scatter_add_(-1, self.index, self.value)


@dataclass(frozen=True)
class DenseCode:
    """As many active latents as there are.

    Attributes:
        value: (n, d_sae) how active; 0 for those that are not.
    """

    value: torch.Tensor

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return int(self.value.shape[-1])

    def active(self) -> int:
        """Entries that are not 0, over all vectors."""
        return int((self.value != 0).sum())

    def firings(self) -> torch.Tensor:
        """(d_sae,) on how many vectors each latent is active."""
        return (self.value != 0).sum(0)

    def dense(self) -> torch.Tensor:
        """(n, d_sae)."""
        return self.value


Code = SparseCode | DenseCode
