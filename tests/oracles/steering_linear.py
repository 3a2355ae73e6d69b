"""O11: a linear language model, in which a direction that is added moves every logit by a known amount.

No norm, no nonlinearity, no attention: each block adds W_i x, and the unembedding is linear. So a dose alpha of v after
block l moves logit(a) - logit(b) by alpha <v, u_l>, with u_l = (product over later blocks of (1 + W_j))^T (w_a - w_b),
exactly and on every prompt.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

WIDTH, BLOCKS = 48, 3


class LinearBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mix(x)


class LinearModel(nn.Module):
    """Embedding, blocks that add a linear map of the stream, linear unembedding."""

    def __init__(self, vocab: int, width: int = WIDTH, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(LinearBlock(width) for _ in range(blocks))
        self.unembed = nn.Linear(width, vocab, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.unembed(x)


def build(vocab: int, seed: int = 0, *, width: int = WIDTH) -> LinearModel:
    """Random weights; the maps are far from the identity, so that one layer is not another."""
    generator = torch.Generator().manual_seed(seed)
    model = LinearModel(vocab, width).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        scale = 0.5 if "blocks" in name else 1.0
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale / width**0.5)
    return model


def laid_at_the_embedding(model: LinearModel, layer: int, direction: np.ndarray) -> np.ndarray:
    """(width,) what the embedding must hold so that the stream after ``layer`` blocks holds ``direction``."""
    until = np.eye(len(direction))
    for block in model.blocks[:layer]:  # type: ignore[index]
        until = (np.eye(len(until)) + block.mix.weight.double().numpy()) @ until
    return np.asarray(np.linalg.solve(until, direction))


def reader(model: LinearModel, layer: int, target: tuple[int, int]) -> np.ndarray:
    """u: (width,) by which a vector in the stream after ``layer`` blocks moves the target's logit difference."""
    weights = model.unembed.weight.double().numpy()
    u = weights[target[0]] - weights[target[1]]
    for block in reversed(model.blocks[layer:]):  # type: ignore[arg-type]
        u = u + block.mix.weight.double().numpy().T @ u
    return np.asarray(u)
