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
STEPS = 120
LOOK_EVERY = 10
RATE = 5e-3
DECAY = 1e-2


def fit_mlp(
    train: torch.Tensor, every: torch.Tensor, labelings: NDArray[np.int64], split: Split, *, seed: int = 0
) -> NDArray[np.float64]:
    """float64 (layer, labelling, example): what a ReLU layer of ``HIDDEN`` units and a readout say of every example.

    ``train`` (layer, training example, width) and ``every`` (layer, example, width) are standardised; labelings
    (labelling, example). AdamW on all training examples at once, 120 steps; each layer and labelling keeps the step, of
    every tenth, at which the select part is told apart best. All start from the same weights, and none depends on what
    is trained along with it.
    """
    import torch

    layers, count, width = train.shape
    problems = len(labelings)
    y = torch.from_numpy(labelings[:, split.train]).to(train.dtype).T.expand(layers, count, problems)
    generator = torch.Generator().manual_seed(seed)
    inner = torch.randn(width, HIDDEN, generator=generator) * (2.0 / width) ** 0.5
    outer = torch.randn(HIDDEN, generator=generator) / HIDDEN**0.5
    parameters = [
        inner.repeat(1, problems).expand(layers, -1, -1).clone(),
        torch.zeros(layers, 1, problems * HIDDEN),
        outer.expand(layers, 1, problems, -1).clone(),
        torch.zeros(layers, 1, problems),
    ]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
    kept = np.empty((layers, problems, every.shape[1]))
    best = np.full((layers, problems), -1.0)
    for step in range(1, STEPS + 1):
        optimiser.zero_grad()
        with torch.enable_grad():
            losses = torch.nn.functional.binary_cross_entropy_with_logits(
                _logits(train, parameters), y, reduction="none"
            )
            losses.mean(1).sum().backward()  # a mean over examples, a sum over what is independent
        optimiser.step()
        if step % LOOK_EVERY == 0:
            with torch.no_grad():
                said = _logits(every, parameters).mT.double().numpy()
            at_select = np.asarray(auroc(said[..., split.select], labelings[None, :, split.select]))
            better = at_select > best
            kept[better] = said[better]
            best = np.maximum(best, at_select)
    return kept


def _logits(x: torch.Tensor, parameters: list[torch.Tensor]) -> torch.Tensor:
    """(layer, example, labelling): the hidden units of all labelings are one matrix."""
    import torch

    inner, bias, outer, shift = parameters
    hidden = torch.relu(x @ inner + bias)
    return (hidden.unflatten(-1, outer.shape[-2:]) * outer).sum(-1) + shift
