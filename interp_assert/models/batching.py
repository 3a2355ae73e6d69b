"""Rows of token ids in batches: grouped by length, never padded, halved when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import EmptyBatch, OutOfMemory

if TYPE_CHECKING:
    import torch

    from .opened import OpenModel

__all__ = ["BatchHalved", "batches", "for_batches", "out_of_memory"]

# What torch's allocators say on the CPU, where they raise a bare RuntimeError.
_CPU_MESSAGES = ("can't allocate memory", "not enough memory", "cannot allocate memory", "alloc_cpu", "bad_alloc")


class BatchHalved(UserWarning):
    """A batch did not fit in memory; the work goes on with half as many rows per forward pass."""


def batches(model: OpenModel, rows: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], torch.Tensor]]:
    """(indices into ``rows``, ids (batch, pos) on the model's device), grouped by equal length, within
    ``model.batch_tokens``.

    Raises EmptyBatch if there are no rows, or one without ids.
    """
    for length, members in _by_length(rows).items():
        size = max(1, model.batch_tokens // length)
        for start in range(0, len(members), size):
            indices = members[start : start + size]
            yield indices, _tensor(model, rows, indices)


def for_batches(model: OpenModel, rows: Sequence[Sequence[int]], run: Callable[[torch.Tensor], Any]) -> list[Any]:
    """Call ``run(ids)`` with ids (batch, pos) over all rows; one result for each row, in the order of the rows.

    ``run`` returns something with one entry for each row of its batch (a tensor, an array, a list), a tuple or dict of
    such things (a row then gets a tuple or dict of entries), or None. Rows are grouped by equal length and never
    padded; a batch holds at most ``model.batch_tokens`` tokens. When memory runs out the batch is halved, with a
    BatchHalved warning, and stays at that number of tokens until the call ends; what the failed call had begun is done
    again.

    Raises EmptyBatch if there are no rows or one without ids, OutOfMemory if a single row does not fit.
    """
    results: list[Any] = [None] * len(rows)
    tokens = model.batch_tokens
    for length, members in _by_length(rows).items():
        start = 0
        while start < len(members):
            indices = members[start : start + max(1, tokens // length)]
            result, fault = _attempt(model, rows, indices, run)
            if fault is None:
                for index, entry in zip(indices, _split(result, len(indices)), strict=True):
                    results[index] = entry
                start += len(indices)
                continue
            _release(model)
            if len(indices) == 1:
                raise OutOfMemory(
                    f"{model.id}: a single row of {length} tokens does not fit in memory on {model.device} ({fault}); "
                    "use shorter prompts, a smaller dtype or a larger device"
                )
            half = len(indices) // 2
            warnings.warn(
                f"{model.id}: {len(indices)} rows of {length} tokens do not fit in memory on {model.device}; going on "
                f"with {half}",
                BatchHalved,
                stacklevel=2,
            )
            tokens = half * length
    return results


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: torch's own on an accelerator, a RuntimeError or MemoryError on
    the CPU."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _CPU_MESSAGES)


def _attempt(
    model: OpenModel, rows: Sequence[Sequence[int]], indices: list[int], run: Callable[[torch.Tensor], Any]
) -> tuple[Any, str | None]:
    """(result, None), or (None, the reason) when memory ran out. Returned, not raised on, so that the failed call's
    frames, and the
    tensors that they hold, are gone before the next attempt."""
    try:
        return run(_tensor(model, rows, indices)), None
    except OutOfMemory:
        raise
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None, next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _split(result: Any, count: int) -> Iterator[Any]:
    """The entries of a batch's result, row by row."""
    if result is None:
        return iter([None] * count)
    if isinstance(result, tuple):
        return iter(zip(*(_split(part, count) for part in result), strict=True))
    if isinstance(result, Mapping):
        parts = {key: list(_split(part, count)) for key, part in result.items()}
        return iter([{key: entries[i] for key, entries in parts.items()} for i in range(count)])
    if len(result) != count:
        raise ValueError(
            f"run() returned {len(result)} entries for a batch of {count} rows; it must return one for each row"
        )
    return (result[i] for i in range(count))


def _by_length(rows: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    """The indices of the rows of each length, shortest first."""
    if len(rows) == 0:
        raise EmptyBatch("no rows of token ids were given; give at least one")
    groups: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        if len(row) == 0:
            raise EmptyBatch(f"row {index} of {len(rows)} has no token ids")
        groups.setdefault(len(row), []).append(index)
    return dict(sorted(groups.items()))


def _tensor(model: OpenModel, rows: Sequence[Sequence[int]], indices: list[int]) -> torch.Tensor:
    import torch

    return torch.tensor(
        [[int(token) for token in rows[index]] for index in indices], dtype=torch.long, device=model.device
    )


def _release(model: OpenModel) -> None:
    import gc

    import torch

    gc.collect()
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
