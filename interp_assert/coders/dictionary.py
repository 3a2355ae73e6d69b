"""A dictionary of free vectors: what all kinds share whose atoms are arbitrary directions."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from .coder import Coder
from .recipe import Recipe

__all__ = ["DictionaryCoder", "random_rows"]


class DictionaryCoder(Coder):
    """Encoder and decoder are matrices ``W_enc`` and ``W_dec``, (d_sae, d_in) both: a latent in each row."""

    def __init__(self, shape: tuple[int, ...], d_sae: int) -> None:
        super().__init__(shape, d_sae)
        self.W_enc = nn.Parameter(torch.zeros(d_sae, self.d_in))
        self.W_dec = nn.Parameter(torch.zeros(d_sae, self.d_in))

    @classmethod
    def make(cls: type[Made], recipe: Recipe, shape: tuple[int, ...]) -> Made:
        """An empty coder with what the kind takes from the recipe."""
        return cls(shape, recipe.d_sae)

    @classmethod
    def begin(
        cls: type[Made], recipe: Recipe, shape: tuple[int, ...], mean: torch.Tensor, generator: torch.Generator
    ) -> Made:
        """Random unit rows, the encoder equal to the decoder, the bias at the mean (Gao et al. 2406.04093)."""
        coder = cls.make(recipe, shape)
        with torch.no_grad():
            coder.W_dec.copy_(random_rows(coder.d_sae, coder.d_in, generator))
            coder.W_enc.copy_(coder.W_dec)
            coder.b_dec.copy_(mean)
        coder.W_dec.requires_grad_(not recipe.frozen_decoder)
        return coder

    def encoder(self) -> torch.Tensor:
        """(d_sae, d_in)."""
        return self.W_enc

    def decoder(self) -> torch.Tensor:
        """(d_sae, d_in)."""
        return self.W_dec

    def directions(self) -> list[nn.Parameter]:
        """Rows of the decoder."""
        return [self.W_dec] if self.W_dec.requires_grad else []


Made = TypeVar("Made", bound=DictionaryCoder)


def random_rows(count: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """(count, width) random directions of unit length, the same on every device."""
    rows = torch.randn(count, width, generator=generator)
    return rows.div_(torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_min_(1e-12))
