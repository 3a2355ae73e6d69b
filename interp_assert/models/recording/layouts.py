"""How a model lays out the vectors of a site, and how the site presents them: batch first, then positions, then
streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch

__all__ = ["AS_PRESENTED", "ONE_STREAM", "Grid", "Layout", "Streams", "layout_of"]

Axis = Literal["batch", "pos", "stream", "feature"]
_ORDER: tuple[Axis, ...] = ("batch", "pos", "stream", "feature")


@dataclass(frozen=True)
class Streams:
    """How many residual streams run side by side, and the name of their axis in residual sites.

    With one there is no such axis and residuals are (batch, pos, d_model); with several they are
    (batch, pos, ``axis``, d_model), however the model itself lays them out.
    """

    count: int = 1
    axis: str | None = None

    def shape(self, d_model: int) -> tuple[int, ...]:
        """Sizes of what follows (batch, pos)."""
        return (d_model,) if self.axis is None else (self.count, d_model)

    def names(self) -> str:
        """``shape`` in words: ``"d_model"`` or ``"stream, d_model"``."""
        return "d_model" if self.axis is None else f"{self.axis}, d_model"


ONE_STREAM = Streams()


@dataclass(frozen=True)
class Layout:
    """The axes of a tensor as the model has it.

    ``axes`` are its leading axes, each one of a site's or several merged, the slowest first; () says that it has the
    site's axes already. ``start`` is the first of the prompt's positions, for a model that runs on more positions than
    the prompt has; None where they are the same.
    """

    axes: tuple[tuple[Axis, ...], ...] = ()
    streams: int = 1
    start: int | None = None

    def to_site(self, tensor: torch.Tensor, rows: tuple[int, int]) -> torch.Tensor:
        """The tensor as the site presents it; ``rows`` is (batch, pos) of the prompts."""
        whole = self._in_order(tensor, rows[0])
        return whole if self.start is None else whole.narrow(1, self.start, rows[1])

    def to_model(self, site: torch.Tensor, tensor: torch.Tensor | None = None) -> torch.Tensor:
        """A site's value as the model has it. Positions outside the prompt are those of ``tensor``; without it there
        are none.
        """
        if self.start is not None and tensor is not None:
            whole = self._in_order(tensor, site.shape[0]).clone()
            whole[:, self.start : self.start + site.shape[1]] = site
            site = whole
        if not self.axes:
            return site
        own = [axis for merged in self.axes for axis in merged]
        order = [axis for axis in _ORDER if axis in own]
        rest = range(len(own), site.ndim)
        moved = site.permute(*(order.index(axis) for axis in own), *rest)
        sizes = iter(moved.shape)
        shape = [prod(next(sizes) for _ in merged) for merged in self.axes]
        return moved.reshape(*shape, *moved.shape[len(own) :])

    def _in_order(self, tensor: torch.Tensor, batch: int) -> torch.Tensor:
        if not self.axes:
            return tensor
        known: dict[Axis, int] = {"batch": batch, "stream": self.streams}
        shape: list[int] = []
        for merged, size in zip(self.axes, tensor.shape, strict=False):
            left = size // prod(known.get(axis, 1) for axis in merged)
            shape += [size] if len(merged) == 1 else [known.get(axis, left) for axis in merged]
        own = [axis for merged in self.axes for axis in merged]
        order = [own.index(axis) for axis in _ORDER if axis in own]
        apart = tensor.reshape(*shape, *tensor.shape[len(self.axes) :])
        return apart.permute(*order, *range(len(own), apart.ndim))


AS_PRESENTED = Layout()
"""The layout of a tensor that has a site's axes already."""


@dataclass(frozen=True)
class Grid:
    """How the residual stream of a recorded pass is laid out.

    ``rows`` is (batch, pos) of the prompts and ``positions`` how many the model runs on, those of the prompts from
    ``start``. ``merged`` is the axis of the model's tensor that holds the streams as well, ``width`` the size of its
    last axis.
    """

    rows: tuple[int, int]
    positions: int
    start: int | None = None
    streams: Streams = ONE_STREAM
    merged: Literal["pos", "feature"] | None = None
    width: int | None = None


def layout_of(shape: tuple[int, ...], grid: Grid) -> Layout:
    """The layout of a tensor of vectors, judged by its shape in the recorded pass."""
    batch, positions = grid.rows[0], grid.positions
    start = grid.start
    if len(shape) == 2:
        return Layout((("batch", "pos"),), start=start if shape[0] == batch * positions else None)
    if len(shape) == 3 and shape[:2] == (positions, batch) != (batch, positions):
        return Layout((("pos",), ("batch",)), start=start)
    if len(shape) == 4 and shape[1:3] == (batch, positions):
        return Layout((("stream",), ("batch",), ("pos",)), shape[0], start)
    start = start if len(shape) > 2 and shape[1] == positions else None
    if len(shape) == 3 and grid.merged == "pos" and shape[1] == positions:
        return Layout((("batch",), ("stream", "pos")), grid.streams.count, start)
    if len(shape) == 3 and grid.merged == "feature" and shape[2] == grid.width:
        return Layout((("batch",), ("pos",), ("stream", "feature")), grid.streams.count, start)
    return Layout((), start=start)
