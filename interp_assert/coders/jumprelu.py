"""JumpReLU: latents above a threshold of their own (Rajamanoharan et al. 2407.14435). Loaded, not trained: also the
form in which BatchTopK coders are stored, whose threshold is fixed after training."""

from __future__ import annotations

import torch
from torch import nn

from .coder import Step, register_kind
from .codes import DenseCode
from .dictionary import DictionaryCoder
from .recipe import Recipe

__all__ = ["JumpReluCoder"]


@register_kind
class JumpReluCoder(DictionaryCoder):
    """A latent's pre-activation p gives relu(p) where p > threshold, else 0."""

    kind = "jumprelu"
    trainable = False

    def __init__(self, shape: tuple[int, ...], d_sae: int) -> None:
        super().__init__(shape, d_sae)
        self.threshold = nn.Parameter(torch.zeros(d_sae))

    def encode(self, x: torch.Tensor) -> DenseCode:
        """(n, d_in) -> (n, d_sae)."""
        before = torch.addmm(self.b_enc, self.centred(x), self.W_enc.T)
        return DenseCode(torch.where(before > self.threshold, before.relu(), 0.0))

    def loss(self, x: torch.Tensor, target: torch.Tensor, dead: torch.Tensor, recipe: Recipe) -> Step:
        """Not trained here; ``check`` says so before anything is read."""
        raise NotImplementedError("a JumpReLU coder is loaded, not trained")

    @torch.no_grad()
    def fold_scale(self, scale: float) -> None:
        """Thresholds grow with the activations."""
        super().fold_scale(scale)
        self.threshold.mul_(scale)
