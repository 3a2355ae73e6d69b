"""Rank 1: atoms v_i w_i^T over matrix-shaped states and writes of recurrent mixers (WriteSAE, arXiv:2605.12770).

What a recurrent mixer writes into its state at one step is a product of two vectors, and a dictionary of such products
needs rows + columns numbers per atom instead of rows * columns. The code of a matrix S is TopK(relu(v_enc_i^T (S - B)
w_enc_i + b_i)), its reconstruction sum_i a_i v_i w_i^T + B.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import UsageProblem
from .coder import register_kind
from .dictionary import random_rows
from .recipe import Recipe
from .topk import SelectsK

__all__ = ["Rank1Coder"]


@register_kind
class Rank1Coder(SelectsK):
    """Atoms are products of ``v_dec`` (d_sae, rows) and ``w_dec`` (d_sae, columns), both of unit length."""

    kind = "rank1"
    of_matrices = True

    def __init__(self, shape: tuple[int, ...], d_sae: int, k: int) -> None:
        if len(shape) != 2:
            raise UsageProblem(
                f"a rank1 coder codes matrices, such as a recurrent state (rows, columns), not values of shape {shape}"
            )
        super().__init__(shape, d_sae)
        self.k = k
        rows, columns = shape
        self.v_enc, self.w_enc = nn.Parameter(torch.zeros(d_sae, rows)), nn.Parameter(torch.zeros(d_sae, columns))
        self.v_dec, self.w_dec = nn.Parameter(torch.zeros(d_sae, rows)), nn.Parameter(torch.zeros(d_sae, columns))

    @classmethod
    def begin(
        cls, recipe: Recipe, shape: tuple[int, ...], mean: torch.Tensor, generator: torch.Generator
    ) -> Rank1Coder:
        """Random unit atoms, the encoder equal to the decoder, the bias at the mean."""
        assert recipe.k is not None  # checked when the recipe was
        coder = cls(shape, recipe.d_sae, recipe.k)
        with torch.no_grad():
            coder.v_dec.copy_(random_rows(recipe.d_sae, shape[0], generator))
            coder.w_dec.copy_(random_rows(recipe.d_sae, shape[1], generator))
            coder.v_enc.copy_(coder.v_dec)
            coder.w_enc.copy_(coder.w_dec)
            coder.b_dec.copy_(mean)
        for parameter in (coder.v_dec, coder.w_dec):
            parameter.requires_grad_(not recipe.frozen_decoder)
        return coder

    def encoder(self) -> torch.Tensor:
        """(d_sae, rows * columns): v_enc_i w_enc_i^T, flat."""
        return _products(self.v_enc, self.w_enc)

    def decoder(self) -> torch.Tensor:
        """(d_sae, rows * columns): v_i w_i^T, flat."""
        return _products(self.v_dec, self.w_dec)

    @property
    def numbers_per_atom(self) -> int:
        """Those of a row and a column."""
        return sum(self.shape)

    def directions(self) -> list[nn.Parameter]:
        """Both factors of the atoms."""
        return [p for p in (self.v_dec, self.w_dec) if p.requires_grad]

    def settings(self) -> dict[str, Any]:
        """With the number of free parameters of its atoms, for a comparison with dense ones."""
        return {**super().settings(), "numbers_per_atom": self.numbers_per_atom}


def _products(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return (left[:, :, None] * right[:, None, :]).flatten(1)
