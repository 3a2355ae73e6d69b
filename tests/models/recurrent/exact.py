"""Passes in which everything is computed in float64: rounding becomes invisible there, a wrong formula does not."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_CASTS = frozenset({torch.Tensor.float, torch.Tensor.bfloat16})


class InFloat64(TorchFunctionMode):
    """Mixers cast to float32 inside whatever the weights are; here that gives float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _CASTS:
            return args[0].double()
        longer = {name: _longer(value) for name, value in (kwargs or {}).items()}
        return func(*(_longer(value) for value in args), **longer)


def _longer(value: Any) -> Any:
    return torch.float64 if value in (torch.float32, torch.bfloat16) and isinstance(value, torch.dtype) else value
