"""TopK: the k latents with the largest pre-activations (Gao et al. 2406.04093)."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from .coder import Coder, Step, register_kind
from .codes import SparseCode
from .dictionary import DictionaryCoder
from .recipe import Recipe
from .sparse import encode_topk, sparse_decode

__all__ = ["SelectsK", "TopKCoder"]


class SelectsK(Coder):
    """Keeps the k largest pre-activations of each vector, then cuts them by a ReLU; codes stay sparse throughout."""

    selects_k = True
    k: int

    def encode(self, x: torch.Tensor) -> SparseCode:
        """(n, d_in) -> the k latents of each vector."""
        index, value, _, _ = encode_topk(self.normalised(x), self.encoder(), self.b_enc, self.k, shift=self._shift())
        return SparseCode(index, value, self.d_sae)

    def loss(self, x: torch.Tensor, target: torch.Tensor, dead: torch.Tensor, recipe: Recipe) -> Step:
        """Squared error per dimension; latents that are dead are trained on what the others leave over (AuxK)."""
        n_dead = int(dead.sum())
        k_dead = min(n_dead, max(1, self.numbers_per_atom // 2)) if recipe.aux else 0
        encoder, decoder = self.encoder(), self.decoder()
        index, value, index_dead, value_dead = encode_topk(
            x,
            encoder,
            self.b_enc,
            self.k,
            shift=self._shift(),
            among=dead if k_dead else None,
            k_among=k_dead,
        )
        left = target - sparse_decode(index, value, decoder) - self.b_dec
        loss = left.square().mean()
        if k_dead:
            rest = left.detach() - sparse_decode(index_dead, value_dead, decoder)
            loss = loss + recipe.aux * rest.square().mean()
        fired = torch.zeros(self.d_sae, dtype=torch.bool, device=x.device)
        fired[index[value > 0]] = True
        return Step(loss, fired)

    def _shift(self) -> torch.Tensor | None:
        """What is subtracted first. (``centred`` would have its gradient go by way of every vector.)"""
        return self.b_dec if self.subtracts_b_dec else None

    def settings(self) -> dict[str, Any]:
        """With k."""
        return {**super().settings(), "k": self.k}


@register_kind
class TopKCoder(SelectsK, DictionaryCoder):
    """x_hat = sum over the k largest of relu(W_enc (x - b_dec) + b_enc), times the rows of W_dec, + b_dec."""

    kind = "topk"

    def __init__(self, shape: tuple[int, ...], d_sae: int, k: int) -> None:
        super().__init__(shape, d_sae)
        self.k = k

    @classmethod
    def make(cls: type[Made], recipe: Recipe, shape: tuple[int, ...]) -> Made:
        """With the recipe's k."""
        assert recipe.k is not None  # checked when the recipe was
        return cls(shape, recipe.d_sae, recipe.k)


Made = TypeVar("Made", bound=TopKCoder)
