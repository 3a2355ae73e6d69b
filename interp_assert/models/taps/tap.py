"""Taps: the places in a running model where a hook reads or replaces a value, and how a site is made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, Literal, Protocol

import torch

from ..recording.graph import Call, Location, Recording
from ..recording.layouts import AS_PRESENTED, Grid, Layout, layout_of
from ..recording.residual import ONE, Factor


@dataclass(frozen=True)
class Tap:
    """A tensor at a module boundary: the site's value is ``factor * tensor``, laid out (batch, pos, ...).

    ``layout`` is how the module itself sees it. ``nth`` picks one call of a module that runs several times in a forward
    pass. ``heads`` says that the features are those of so many heads side by side, which the site has on an axis of
    their own. ``beside``: where further residual streams are, for a module that hands out each as a tensor of its own;
    the site holds all of them, stacked.
    """

    path: str
    side: Literal["input", "output"]
    where: Location
    factor: Factor = ONE
    nth: int | None = None
    layout: Layout = AS_PRESENTED
    heads: int | None = None
    beside: tuple[Location, ...] = ()

    def take(self, tree: Any) -> torch.Tensor:
        """The tensor in a module's arguments or results; several streams stacked on axis 2."""
        first = take(tree, self.where)
        return torch.stack([first, *(take(tree, where) for where in self.beside)], 2) if self.beside else first

    def put(self, tree: Any, tensor: torch.Tensor) -> Any:
        """A copy of arguments or results with another tensor in its place."""
        parts = tensor.unbind(2) if self.beside else (tensor,)
        for where, part in zip((self.where, *self.beside), parts, strict=True):
            tree = put(tree, where, part)
        return tree

    def to_site(self, tensor: torch.Tensor, rows: tuple[int, int], root: torch.nn.Module) -> torch.Tensor:
        """The site's value of the tensor in the model; ``rows`` is (batch, pos)."""
        tensor = self.layout.to_site(tensor, rows)
        if self.heads is not None:
            tensor = tensor.unflatten(-1, (self.heads, -1))
        return tensor if self.factor.is_one else tensor * self.factor.resolve(root, tensor.device)

    def from_site(
        self, edited: torch.Tensor, site: torch.Tensor, tensor: torch.Tensor, root: torch.nn.Module
    ) -> torch.Tensor:
        """The tensor to put in the model for an edited site value. An edit that changes nothing gives back its bits."""
        if not self.factor.is_one:
            change = (edited - site) / self.factor.resolve(root, site.device)
            return tensor + self.lay_out(change, torch.zeros_like(tensor))
        return self.lay_out(edited, tensor)

    def lay_out(self, site: torch.Tensor, tensor: torch.Tensor | None = None) -> torch.Tensor:
        """A site's value as the module sees it, in the place of ``tensor``."""
        return self.layout.to_model(site if self.heads is None else site.flatten(-2), tensor)


class AnyTap(Protocol):
    """A place where a site is read and written: what every kind of tap can do. Each kind is installed in its own way
    (``running.INSTALLERS``).
    """

    @property
    def path(self) -> str: ...

    @property
    def nth(self) -> int | None: ...


@dataclass(frozen=True)
class Watch:
    """What is to happen at a tap: ``action`` gets the site's value and gives another, or None to leave it.

    ``writes`` tells edits from reads. A state is made step by step: an edit that leaves all but some ``positions`` as
    they are is then shown these steps only, and one that does the same to each position (``alone``) one at a time.
    """

    tap: AnyTap
    action: Callable[[torch.Tensor], torch.Tensor | None]
    writes: bool
    positions: frozenset[int] | None = None
    alone: bool = False


@dataclass(frozen=True)
class Route:
    """How a site is reached: it is the sum of the taps in ``read``, and ``write`` is where an edit takes effect.

    ``bases`` are given for a site that is a sum: its value just before ``write`` is what the bases hold plus what is
    tapped there, and an edit is carried out by adding its change at ``write``. An edit that changes nothing then
    changes nothing, bit for bit.
    """

    read: tuple[AnyTap, ...]
    write: AnyTap
    bases: tuple[AnyTap, ...] = ()

    @classmethod
    def at(cls, tap: AnyTap) -> Route:
        """A site that is one tensor of the model."""
        return cls((tap,), tap)


def output_tap(recording: Recording, call: Call, value: int, factor: Factor | None = None) -> Tap | None:
    """The tap at which ``call`` hands out ``value``."""
    for where, handed in call.outputs.items():
        if handed == value:
            return _tap(recording, call, "output", where, value, factor)
    return None


def input_tap(recording: Recording, call: Call, value: int) -> Tap | None:
    """The tap at which ``call`` takes ``value``."""
    for where, taken in call.inputs.items():
        if taken == value:
            return _tap(recording, call, "input", where, value)
    return None


def located_tap(
    recording: Recording,
    call: Call,
    side: Literal["input", "output"],
    where: Location,
    beside: tuple[Location, ...] = (),
) -> Tap:
    """The tap at a known location of a call; ``beside``: locations of further streams of the same shape."""
    values = call.inputs if side == "input" else call.outputs
    return replace(_tap(recording, call, side, where, values[where]), beside=beside)


def nth_call(recording: Recording, call: Call) -> int | None:
    """Which execution of its module a call is; None where there is only one."""
    return call.nth if sum(1 for other in recording.calls if other.path == call.path) > 1 else None


def _tap(
    recording: Recording,
    call: Call,
    side: Literal["input", "output"],
    where: Location,
    value: int,
    factor: Factor | None = None,
) -> Tap:
    grid = recording.grid or Grid(recording.rows, recording.rows[1])
    layout = layout_of(recording.shapes[value], grid)
    return Tap(call.path, side, where, factor or ONE, nth_call(recording, call), layout)


def take(tree: Any, where: Location) -> torch.Tensor:
    """The tensor at a location of nested arguments or results."""
    for key in where:
        tree = getattr(tree, key) if is_dataclass(tree) and not isinstance(tree, dict) else tree[key]
    if not isinstance(tree, torch.Tensor):
        raise LookupError(f"a tensor was expected at {where}, found {type(tree).__name__}")
    return tree


def put(tree: Any, where: Location, value: torch.Tensor) -> Any:
    """A copy of nested arguments or results with another tensor at a location; containers keep their types."""
    if not where:
        return value
    key, rest = where[0], where[1:]
    if is_dataclass(tree) and not isinstance(tree, type):
        if isinstance(tree, dict):  # transformers' ModelOutput: a dataclass and an ordered dict at once
            return type(tree)(**{**tree, key: put(tree[key], rest, value)})
        return replace(tree, **{key: put(getattr(tree, key), rest, value)})
    if isinstance(tree, dict):
        return {**tree, key: put(tree[key], rest, value)}
    parts = list(tree)
    parts[key] = put(parts[key], rest, value)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*parts)
    return type(tree)(parts)
