"""Taps: the places in a running model where a hook reads or replaces a value, and how a site is made of them."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass, replace
from typing import Any, Literal

import torch

from .graph import Call, Location, Recording


@dataclass(frozen=True)
class Tap:
    """A tensor at a module boundary. ``site = scale * tensor``, reshaped to (batch, pos, ...) where the module sees
    rows flattened.
    """

    path: str
    side: Literal["input", "output"]
    where: Location
    scale: float = 1.0
    nth: int | None = None
    flat: bool = False


@dataclass(frozen=True)
class PatternTap:
    """The attention probabilities of the attention that runs inside the block at ``path``: made by a function, not a
    module.
    """

    path: str
    nth: int | None = None


@dataclass(frozen=True)
class Route:
    """How one site is reached: where it is read, and where an edit of it takes effect.

    ``delta`` marks a site that is a partial sum: an edit is carried out by adding its change to the addend tapped by
    ``write``, on top of ``base``. An edit that changes nothing then changes nothing, bit for bit.
    """

    read: Tap | PatternTap
    write: Tap | PatternTap
    delta: bool = False
    base: Tap | None = None


def output_tap(recording: Recording, call: Call, value: int, *, scale: float = 1.0) -> Tap | None:
    """The tap at which ``call`` hands out ``value``."""
    for where, handed in call.outputs.items():
        if handed == value:
            return _tap(recording, call, "output", where, value, scale)
    return None


def input_tap(recording: Recording, call: Call, value: int) -> Tap | None:
    """The tap at which ``call`` takes ``value``."""
    for where, taken in call.inputs.items():
        if taken == value:
            return _tap(recording, call, "input", where, value, 1.0)
    return None


def located_tap(recording: Recording, call: Call, side: Literal["input", "output"], where: Location) -> Tap:
    """The tap at a known location of a call."""
    values = call.inputs if side == "input" else call.outputs
    return _tap(recording, call, side, where, values[where], 1.0)


def _tap(
    recording: Recording, call: Call, side: Literal["input", "output"], where: Location, value: int, scale: float
) -> Tap:
    repeated = sum(1 for other in recording.calls if other.path == call.path) > 1
    return Tap(call.path, side, where, scale, call.nth if repeated else None, flat=len(recording.shapes[value]) == 2)


def at_root(tap: Tap, root: str) -> Tap:
    """The same tap with its module path relative to another root."""
    return replace(tap, path=f"{root}.{tap.path}" if root else tap.path)


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
        new = put(getattr(tree, key), rest, value)
        if isinstance(tree, dict):  # transformers' ModelOutput: a dataclass and an ordered dict at once
            return type(tree)(**{**tree, key: new})
        return replace(tree, **{key: new})
    if isinstance(tree, dict):
        return {**tree, key: put(tree[key], rest, value)}
    parts = list(tree)
    parts[key] = put(parts[key], rest, value)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*parts)
    return type(tree)(parts)
