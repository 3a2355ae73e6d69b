"""What writes the difference between two classes into the logits: difference-in-means attribution (METHODS 1.9).

Between texts of two classes the difference of two logits changes by so much; the embedding and every addend of every
block write a part of that into the residual stream. With the final norm's scale held at what it is on each text, the
readout is linear, and the parts sum to the whole: mean over class 1 - mean over class 0 of <F o_c, u>, where F is the
norm without its offset and u the target's direction in the normed stream. This is a *direct* effect: what a component
does by way of later blocks counts as theirs. (Component patching measures that as well, and its parts sum to nothing in
particular.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from .lens import why_no_lens
from .passes import check_context, in_passes
from .tokens import in_full

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["DirectAttribution", "NotLinear", "attribute_difference"]

Floats = NDArray[np.float64]

_ALIKE = 1e-3
"""relative error below which a sum of addends is the stream, and a fitted norm the model's own"""
_ROUNDS = 4
"""of fitting a norm's gain, then each row's scale"""


class NotLinear(UsageProblem):
    """The way from the residual stream to the logits is not one that a scale makes linear."""


@dataclass(frozen=True, eq=False)
class DirectAttribution:
    """How much of a logit difference between two classes each component writes, in logits.

    Attributes:
        components: sites, in order of computation: the embedding (``blocks.0.resid_pre``) and each addend; a block
            whose addends do not sum to what it adds is one component, ``blocks.i``.
        effects: of each.
        total: how much further apart the two logits are on class 1 than on class 0.
        left: total - sum of effects: rounding, unless logits are bent (soft-capped) after they are made.
    """

    components: tuple[str, ...]
    effects: Floats
    total: float
    left: float


def attribute_difference(
    model: Model, rows: Sequence[Sequence[int]], labels: ArrayLike, target: tuple[int, int]
) -> DirectAttribution:
    """Split mean(logit(target[0]) - logit(target[1]) | class 1) - mean(.. | class 0), at the last position of the rows.

    Each row goes through the model twice. Raises UsageProblem if a class has no row, NotLinear where the readout or the
    norm before it is not understood, ContextTooShort, NonFiniteMeasurement.
    """
    import torch

    marks = np.asarray(labels)
    if len(marks) != len(rows) or not {0, 1} <= set(marks.tolist()):
        raise UsageProblem(f"{len(rows)} rows with labels {sorted(set(marks.tolist()))}: both classes, 0 and 1, needed")
    reason = why_no_lens(model)
    if reason is not None or model.anatomy.streams.count > 1:
        raise NotLinear(f"{model.id}: {reason or 'it has several residual streams'}")
    check_context(model, max(len(row) for row in rows), "use shorter texts")
    n_blocks = int(model.anatomy.n_blocks)
    last = f"blocks.{n_blocks - 1}.resid_post"
    normed = "final_norm" if model.anatomy.has("final_norm") else None
    addends = {i: [f"blocks.{i}.{name}.out" for name in model.anatomy.blocks[i].names] for i in range(n_blocks)}
    addends = {i: sites if all(map(model.anatomy.has, sites)) else [] for i, sites in addends.items()}
    ends = [f"blocks.{i}.{end}" for i in range(n_blocks) for end in ("resid_pre", "resid_post")]
    sites = [*ends, *(site for each in addends.values() for site in each), *([] if normed is None else [normed])]

    def run(batch: torch.Tensor) -> list[torch.Tensor]:
        made = model.trace(batch, [normed or last], grad=True)
        logits = in_full(made.logits[:, -1])
        gap = logits[:, target[0]] - logits[:, target[1]]
        if not gap.requires_grad:
            raise NotLinear(f"{model.id}: its logits have no derivative by {normed or last}")
        [slope] = torch.autograd.grad(gap.sum(), made[normed or last])
        read = model.trace(batch, sites, positions=[-1], logits=False)
        values = torch.stack([read[site][:, -1].double().cpu() for site in sites], 1)
        return list(zip(gap.detach().double().cpu(), slope[:, -1].double().cpu(), values, strict=True))  # type: ignore[arg-type]

    results = in_passes(model, rows, run, kept_per_row=(len(sites) + 2) * int(model.anatomy.d_model))
    gap, u = (np.stack([np.asarray(result[k]) for result in results]) for k in (0, 1))
    stacked = np.stack([result[2].numpy() for result in results])
    values = {site: stacked[:, place] for place, site in enumerate(sites)}
    if not (np.isfinite(gap).all() and np.isfinite(u).all() and np.isfinite(stacked).all()):
        raise NonFiniteMeasurement(f"{model.id}: activations or logits are not finite; try --interp-dtype float32")
    parts = _parts(values, addends, n_blocks)
    through = u if normed is None else _through_norm(model, values[last], values[normed], u)
    high, low = marks == 1, marks == 0
    written = {name: np.einsum("nd,nd->n", part, through) for name, part in parts.items()}
    effects = np.array([of[high].mean() - of[low].mean() for of in written.values()])
    total = float(gap[high].mean() - gap[low].mean())
    return DirectAttribution(tuple(parts), effects, total, total - float(effects.sum()))


def _parts(values: dict[str, Floats], addends: dict[int, list[str]], n_blocks: int) -> dict[str, Floats]:
    """What is added up to the last residual stream, (row, width) each."""
    parts = {"blocks.0.resid_pre": values["blocks.0.resid_pre"]}
    for i in range(n_blocks):
        pre, post = values[f"blocks.{i}.resid_pre"], values[f"blocks.{i}.resid_post"]
        if i and not _alike(pre, values[f"blocks.{i - 1}.resid_post"]):
            parts[f"before blocks.{i}"] = pre - values[f"blocks.{i - 1}.resid_post"]
        sites = addends[i]
        if sites and _alike(pre + sum(values[site] for site in sites), post):
            parts |= {site: values[site] for site in sites}
        else:
            parts[f"blocks.{i}"] = post - pre
    return parts


def _through_norm(model: Model, x: Floats, y: Floats, u: Floats) -> Floats:
    """u (row, width) taken back through the norm x -> y with each row's scale as it is: F^T u.

    A layer norm or an RMS norm, whichever it shows itself to be: its gain and offset are fitted to what it did.
    """
    fits = []
    for centred in (True, False):
        middle = x - x.mean(1, keepdims=True) if centred else x
        scale = np.sqrt((middle**2).mean(1, keepdims=True))
        for _ in range(_ROUNDS):
            z = middle / scale
            about = z - z.mean(0)
            varies = (about**2).sum(0)
            gain = np.where(varies > 0.0, (about * (y - y.mean(0))).sum(0) / np.where(varies > 0.0, varies, 1.0), 0.0)
            offset = y.mean(0) - gain * z.mean(0)
            made = gain * z
            error = float(np.abs(y - made - offset).max() / np.abs(y).max())
            # what the norm adds to the variance before it takes the root is in no row the same share of it
            scale = scale * (made**2).sum(1, keepdims=True) / ((y - offset) * made).sum(1, keepdims=True)
        fits.append((error, centred, gain / scale))
    error, centred, factor = min(fits, key=lambda fit: fit[0] if np.isfinite(fit[0]) else np.inf)
    if not error <= _ALIKE or not np.isfinite(factor).all():
        raise NotLinear(f"{model.id}: its final norm is no layer norm and no RMS norm (relative error {error:.1g})")
    back = u * factor
    return np.asarray(back - back.mean(1, keepdims=True) if centred else back)


def _alike(one: Floats, other: Floats) -> bool:
    return bool(np.abs(one - other).max() <= _ALIKE * np.abs(other).max())
