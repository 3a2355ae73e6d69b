"""How far the weights have moved, block by block: relative Frobenius distance, exact and without any text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteMeasurement

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["WeightDrift", "measure_weight_drift", "why_no_weight_drift"]

_AT_ONCE = 2**22
"""numbers of a tensor that are compared at a time, in float64"""


@dataclass(frozen=True)
class WeightDrift:
    """||W' - W|| / ||W|| over all parameters of a part, in Frobenius norm.

    Attributes:
        blocks: (block,) of each block; blocks that share one module have the same.
        outside: of everything outside the blocks: embeddings, final norm, head. 0 if there is nothing.
        whole: of all parameters together.
    """

    blocks: NDArray[np.float64]
    outside: float
    whole: float


def why_no_weight_drift(model: Model, base: Model) -> str | None:
    """Why the weights cannot be compared one by one, or None if they can."""
    from ..models.weights.placement import parameters

    mine, theirs = ({name: tuple(p.shape) for name, p in parameters(each.module)} for each in (model, base))
    lone = sorted(mine.keys() ^ theirs.keys())
    if lone:
        only = model if lone[0] in mine else base
        return f"only {only.id} has a parameter {lone[0]} ({len(lone)} parameters are in one model alone)"
    other = next((name for name in mine if mine[name] != theirs[name]), None)
    if other is not None:
        return f"parameter {other} has shape {mine[other]} in {model.id} and {theirs[other]} in {base.id}"
    if model.anatomy.n_blocks != base.anatomy.n_blocks:
        return f"the models differ in depth: {model.anatomy.n_blocks} and {base.anatomy.n_blocks} blocks"
    return None


def measure_weight_drift(model: Model, base: Model) -> WeightDrift:
    """Compare all parameters; ``why_no_weight_drift`` must have said None. Equal weights give exactly 0.

    Raises NonFiniteMeasurement naming the first parameter that is not finite.
    """
    from ..models.weights.placement import parameters, value_of

    paths = list(dict.fromkeys(block.path for block in base.anatomy.blocks))
    sums = {path: np.zeros(2) for path in [*paths, ""]}
    for name, _ in parameters(base.module):
        pair = _squares(value_of(model.module, name), value_of(base.module, name))
        if not np.isfinite(pair).all():
            raise NonFiniteMeasurement(f"parameter {name} of {model.id} or of {base.id} is not finite")
        inside = [path for path in paths if name.startswith(f"{path}.")]
        sums[max(inside, key=len, default="")] += pair
    return WeightDrift(
        blocks=np.array([_relative(sums[block.path]) for block in base.anatomy.blocks]),
        outside=_relative(sums[""]),
        whole=_relative(np.sum([*sums.values()], axis=0)),
    )


def _squares(mine: torch.Tensor, theirs: torch.Tensor) -> NDArray[np.float64]:
    """Sums of squares of the difference and of the base's tensor."""
    total = np.zeros(2)
    for new, old in zip(_pieces(mine), _pieces(theirs), strict=True):
        old = old.double()
        total += [float((new.to(old.device).double() - old).square().sum()), float(old.square().sum())]
    return total


def _pieces(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    yield from tensor.detach().reshape(-1).split(_AT_ONCE)


def _relative(pair: NDArray[np.float64]) -> float:
    moved, size = (sqrt(value) for value in pair)
    return moved / size if size > 0 else 0.0 if moved == 0 else float("inf")
