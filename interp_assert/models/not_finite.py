"""Where in a module NaN is made: what its author has to look at."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch

from . import calling
from .recording.graph import tensors_in

__all__ = ["first_nan"]


def first_nan(module: torch.nn.Module, ids: torch.Tensor) -> str:
    """The part of ``module`` that is the first to return NaN in a pass over ids (batch, pos), with its class: the
    innermost one, for it returns before those that it is in.
    """
    found: list[str] = []
    names = {part: path or type(module).__name__ for path, part in module.named_modules()}

    def look(part: torch.nn.Module, _args: Any, out: Any) -> None:
        if not found and any(tensor.is_floating_point() and tensor.isnan().any() for _, tensor in tensors_in(out)):
            found.append(f"{names[part]} ({type(part).__name__})")

    with ExitStack() as stack, torch.no_grad():
        for part in names:
            stack.callback(part.register_forward_hook(look).remove)
        calling.forward(module, ids)
    return found[0] if found else "none of its parts"
