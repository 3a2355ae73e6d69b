"""Passes in which everything is computed in float64, also what a module casts to float32 whatever its weights are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["everything_in_float64"]

_SHORT = frozenset({torch.float32, torch.bfloat16, torch.float16})
_CASTS = frozenset({torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16})


class _Float64(TorchFunctionMode):
    """Norms, softmaxes and scans are often written with ``.float()`` or ``dtype=torch.float32`` inside: left as they
    are, their rounding would hide how small the rest of it has become."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _CASTS:
            return args[0].double()
        args = tuple(_longer(argument) for argument in args)
        kwargs = {name: _longer(argument) for name, argument in (kwargs or {}).items()}
        return func(*args, **kwargs)


def _longer(argument: Any) -> Any:
    return torch.float64 if isinstance(argument, torch.dtype) and argument in _SHORT else argument


@contextmanager
def everything_in_float64() -> Iterator[None]:
    """Within the block, whoever asks torch for a shorter floating-point format gets float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Float64():
            yield
    finally:
        torch.set_default_dtype(before)
