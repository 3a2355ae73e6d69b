"""Probes with one hidden layer, trained together for all layers and labellings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..stats import Split
from ..stats.auroc import auroc

if TYPE_CHECKING:
    import torch

__all__ = ["HIDDEN", "fit_mlp"]

HIDDEN = 32
STEPS = 200
LOOK_EVERY = 10
RATE = 3e-3
DECAY = 1e-2


def fit_mlp(
    train: torch.Tensor, every: torch.Tensor, labelings: NDArray[np.int64], split: Split, *, seed: int = 0
) -> NDArray[np.float64]:
    """float64 (layer, labelling, example): what a ReLU layer of ``HIDDEN`` units and a readout say of every example.

    ``train`` (layer, training example, width) and ``every`` (layer, example, width) are standardised; labelings
    (labelling, example). AdamW on all training examples at once, 200 steps; each layer and labelling keeps the step, of
    every tenth, at which the select part is told apart best. Every layer and labelling starts from the same weights.
    """
    import torch

    layers, _, width = train.shape
    kept = np.empty((layers, len(labelings), every.shape[1]))
    for number, marks in enumerate(labelings):
        y = torch.from_numpy(marks[split.train]).to(train.dtype).expand(layers, -1)
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(width, HIDDEN, generator=generator) * (2.0 / width) ** 0.5
        out = torch.randn(HIDDEN, 1, generator=generator) / HIDDEN**0.5
        zeros = [torch.zeros(layers, 1, size) for size in (HIDDEN, 1)]
        parameters = [start.expand(layers, -1, -1).clone(), zeros[0], out.expand(layers, -1, -1).clone(), zeros[1]]
        for parameter in parameters:
            parameter.requires_grad_(True)
        optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
        best = np.full(layers, -1.0)
        with torch.enable_grad():
            for step in range(1, STEPS + 1):
                optimiser.zero_grad()
                # summed over layers, so that each gets the gradient that it would get alone
                losses = torch.nn.functional.binary_cross_entropy_with_logits(
                    _logits(train, parameters), y, reduction="none"
                )
                losses.mean(-1).sum().backward()
                optimiser.step()
                if step % LOOK_EVERY == 0:
                    with torch.no_grad():
                        said = _logits(every, parameters).double().numpy()
                    at_select = np.atleast_1d(auroc(said[:, split.select], marks[split.select]))
                    better = at_select > best
                    kept[better, number] = said[better]
                    best = np.maximum(best, at_select)
    return kept


def _logits(x: torch.Tensor, parameters: list[torch.Tensor]) -> torch.Tensor:
    import torch

    inner, bias, out, shift = parameters
    return (torch.relu(x @ inner + bias) @ out + shift)[..., 0]
