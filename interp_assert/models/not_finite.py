"""Logits that are NaN or infinite, and where in a module they are made: what its author has to look at."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from . import calling
from .recording.graph import tensors_in

__all__ = ["why_not_finite"]


def why_not_finite(module: torch.nn.Module, ids: torch.Tensor, logits: torch.Tensor, of_what: str = "") -> str | None:
    """What is wrong with the logits (batch, pos, vocab) that ``module`` gave of ids (batch, pos), and which of its
    parts was the first to return such a value; None if all are finite.

    NaN goes before infinity. ``of_what`` tells of the ids.
    """
    if torch.isfinite(logits).all():
        return None
    if logits.isnan().any():
        first = _first(module, ids, torch.isnan)
        return f"gives logits that are NaN{of_what}; the first module to return NaN is {first}"
    infinite = logits.isinf()
    told = (
        f"gives logits that are infinite{of_what} ({int(infinite.sum())} of {logits.numel()}), of which no probability "
        f"and no difference can be taken; the first module to return one is {_first(module, ids, torch.isinf)}"
    )
    masked = bool((logits[infinite] < 0).all()) and not infinite.all()
    return told + ("; ids that are never to be said need a large negative logit instead of -inf" if masked else "")


def _first(module: torch.nn.Module, ids: torch.Tensor, bad: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """The part that is the first to return a bad value, with its class: the innermost one, for it returns before those
    that it is in.
    """
    found: list[str] = []
    names = {part: path or type(module).__name__ for path, part in module.named_modules()}

    def look(part: torch.nn.Module, _args: Any, out: Any) -> None:
        if not found and any(tensor.is_floating_point() and bad(tensor).any() for _, tensor in tensors_in(out)):
            found.append(f"{names[part]} ({type(part).__name__})")

    with ExitStack() as stack, torch.no_grad():
        for part in names:
            stack.callback(part.register_forward_hook(look).remove)
        calling.forward(module, ids)
    return found[0] if found else "none of its parts"
