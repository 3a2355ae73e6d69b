"""What carries the difference between two classes to the logits: component patching (METHODS 1.9).

On every text of class 1 one component's output at the last position is replaced by its mean over the texts of class 0,
and the model runs on from there. By how much the two logits come nearer to each other is the *total* effect of that
component: what it writes itself and what later blocks make of it. Effects of several components overlap, so they sum to
nothing in particular; ``attribute_difference`` splits the difference into direct effects that do sum to it.

Mean ablation in the sense of Wang et al. 2023, with the mean of the other class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from .activations import read_last
from .passes import check_context, in_passes
from .tokens import in_full

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["ComponentPatching", "patch_components"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ComponentPatching:
    """How much nearer two logits come on texts of class 1 when a component is what it is on class 0, in logits.

    Attributes:
        components: sites, in order of computation: the stream before the first block (``blocks.0.resid_pre``) and the
            output of every component of every block that can be written to.
        effects: of each, the mean over class 1.
        total: how much further apart the two logits are on class 1 than on class 0.
    """

    components: tuple[str, ...]
    effects: Floats
    total: float


def patch_components(
    model: Model, rows: Sequence[Sequence[int]], labels: ArrayLike, target: tuple[int, int]
) -> ComponentPatching:
    """The effect of each component on logit(target[0]) - logit(target[1]) at the last position of the rows.

    All rows go through the model once to read, those of class 1 once more for each component. Raises UsageProblem if a
    class has no row, ContextTooShort, NonFiniteMeasurement.
    """
    marks = np.asarray(labels)
    if len(marks) != len(rows) or not {0, 1} <= set(marks.tolist()):
        raise UsageProblem(f"{len(rows)} rows with labels {sorted(set(marks.tolist()))}: both classes, 0 and 1, needed")
    check_context(model, max(len(row) for row in rows), "use shorter texts")
    blocks = enumerate(model.anatomy.blocks)
    named = ["blocks.0.resid_pre", *(f"blocks.{i}.{name}.out" for i, block in blocks for name in block.names)]
    components = [site for site in named if model.anatomy.has(site)]
    low = [row for row, mark in zip(rows, marks, strict=True) if mark == 0]
    high = [row for row, mark in zip(rows, marks, strict=True) if mark == 1]
    means = {site: values.mean(0) for site, values in read_last(model, low, components).items()}
    clean = _gaps(model, high, target)
    effects = np.array([float((clean - _gaps(model, high, target, site, means[site])).mean()) for site in components])
    if not np.isfinite(effects).all():
        raise NonFiniteMeasurement(f"{model.id}: logits are not finite; try --interp-dtype float32")
    total = float(clean.mean() - _gaps(model, low, target).mean())
    return ComponentPatching(tuple(components), effects, total)


def _gaps(
    model: Model, rows: Sequence[Sequence[int]], target: tuple[int, int], site: str = "", value: Floats | None = None
) -> Floats:
    """(row,) difference of the two logits, with the site at ``value`` (width,) where the rows end."""
    import torch

    def put(out: torch.Tensor) -> torch.Tensor:
        changed = out.clone()
        changed[:, -1] = torch.as_tensor(value, dtype=out.dtype, device=out.device)
        return changed

    def run(batch: torch.Tensor) -> list[float]:
        write = None if value is None else {site: put}
        logits = in_full(model.trace(batch, write=write).logits[:, -1])
        return [float(gap) for gap in logits[:, target[0]] - logits[:, target[1]]]

    return np.array(in_passes(model, rows, run, kept_per_row=int(model.vocab_size)))
