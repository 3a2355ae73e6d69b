"""Positions of a sequence, as users write them: one or several, negative ones counted from the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

from ..errors import InterpError

__all__ = ["whole_numbers", "within"]


def whole_numbers(positions: Any, error: type[InterpError]) -> tuple[int, ...]:
    """The positions as integers, whatever kind of integers they are (of numpy, of torch).

    Raises ``error`` for anything else: 1.5 would be rounded in silence, and a mask would mean positions 0 and 1.
    """
    several = isinstance(positions, Iterable) and getattr(positions, "ndim", 1) > 0 and not isinstance(positions, str)
    chosen = tuple(positions) if several else (positions,)
    if not any(
        isinstance(position, bool) or str(getattr(position, "dtype", "")).endswith("bool") for position in chosen
    ):
        try:
            return tuple(index(position) for position in chosen)
        except TypeError:
            pass
    raise error(f"Positions are whole numbers, one or several, not {positions!r}.")


def within(positions: Sequence[int], length: int, error: type[InterpError]) -> list[int]:
    """The positions counted from the start, of ``length`` that there are. Raises ``error`` for one that is not."""
    outside = [position for position in positions if not -length <= position < length]
    if outside:
        raise error(f"Position {outside[0]} is outside the {length} positions of the ids.")
    return [position % length for position in positions]
