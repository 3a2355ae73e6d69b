"""Rows in groups so small that what is kept of one forward pass fits, whatever the vocabulary and depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ContextTooShort

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["check_context", "chunks", "elements_at_once", "in_passes"]

_ON_CPU = 2**26
_ON_ACCELERATOR = 2**29


def elements_at_once(device: torch.device) -> int:
    """How many numbers one step may hold besides the model: 256 MiB of float32 on the CPU, 2 GiB on an accelerator."""
    return _ON_CPU if device.type == "cpu" else _ON_ACCELERATOR


def in_passes(
    model: Model, rows: Sequence[Sequence[int]], run: Callable[[torch.Tensor], Any], *, kept_per_row: int
) -> list[Any]:
    """``for_batches`` over ``rows``, with at most as many rows at a time as ``kept_per_row`` numbers each allow."""
    from ..models import for_batches

    limit = max(1, elements_at_once(model.device) // max(1, kept_per_row))
    return [
        result
        for start in range(0, len(rows), limit)
        for result in for_batches(model, rows[start : start + limit], run)
    ]


def chunks(count: int, width: int, device: torch.device) -> Iterator[slice]:
    """Slices of ``range(count)`` of which each, times ``width``, is a sixteenth of what may be held at once.

    A sixteenth, because a lens keeps several arrays of that size: logits, probabilities, comparisons.
    """
    size = max(1, elements_at_once(device) // 16 // max(1, width))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def check_context(model: Model, length: int, remedy: str) -> None:
    """Raise ContextTooShort if rows of ``length`` tokens are longer than the model's context."""
    limit = model.max_positions
    if limit is not None and length > limit:
        raise ContextTooShort(f"{model.id}: prompts of {length} tokens do not fit its context of {limit}; {remedy}")
