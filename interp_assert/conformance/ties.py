"""Passes in which equally large candidates of a top-k selection are taken in order, so that the choice does not depend
on how many candidates there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["ties_taken_in_order"]


class _InOrder(TorchFunctionMode):
    """``topk`` promises no order among equals; a stable sort does."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.topk, torch.Tensor.topk):
            return _topk(*args, **kwargs)
        return func(*args, **kwargs)


def _topk(input: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    ordered = torch.sort(input, dim=dim, descending=largest, stable=True)
    return torch.return_types.topk((ordered.values.narrow(dim, 0, k), ordered.indices.narrow(dim, 0, k)))


@contextmanager
def ties_taken_in_order() -> Iterator[None]:
    """Within the block, ``topk`` prefers the first of equals."""
    with _InOrder():
        yield
