"""ReLU: as many latents as are positive, kept few by a penalty on their sum (Bricken et al. 2023)."""

from __future__ import annotations

import torch

from .coder import Step, register_kind
from .codes import DenseCode
from .dictionary import DictionaryCoder
from .recipe import Recipe

__all__ = ["ReluCoder"]


@register_kind
class ReluCoder(DictionaryCoder):
    """x_hat = relu(W_enc (x - b_dec) + b_enc) W_dec + b_dec."""

    kind = "relu"
    l1 = 0.2

    def encode(self, x: torch.Tensor) -> DenseCode:
        """(n, d_in) -> (n, d_sae)."""
        return DenseCode(torch.addmm(self.b_enc, self.centred(x), self.W_enc.T).relu())

    def loss(self, x: torch.Tensor, target: torch.Tensor, dead: torch.Tensor, recipe: Recipe) -> Step:
        """Squared error per dimension, plus l1 times the sum of a vector's code, relative to the root of its width."""
        code = self.encode(x)
        error = (target - self.decode(code)).square().mean()
        penalty = code.value.sum(-1).mean() / self.d_in**0.5
        return Step(error + (recipe.l1 or 0.0) * penalty, (code.value > 0).any(0))
