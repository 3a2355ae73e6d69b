"""Calling a Hugging Face module on token ids, and finding the logits in what it returns."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from ..errors import ContextTooShort, EmptyBatch, ModelRefused, TokenOutOfRange
from .graph import Location, tensors_in


def forward(module: torch.nn.Module, ids: torch.Tensor) -> Any:
    """One forward pass over ids (batch, pos), without a key/value cache."""
    accepted = inspect.signature(module.forward).parameters
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values())
    options = {"use_cache": False} if "use_cache" in accepted or (open_ended and hasattr(module, "config")) else {}
    if "input_ids" in accepted:
        return module(input_ids=ids, **options)
    return module(ids, **options)


def logits_location(out: Any, batch: int, length: int) -> Location:
    """Where the logits (batch, pos, vocab) are in a forward pass's result: named ``logits``, or the first tensor of
    that shape.
    """
    if getattr(out, "logits", None) is not None:
        return ("logits",)
    for where, tensor in tensors_in(out):
        if tensor.ndim == 3 and tensor.shape[:2] == (batch, length) and tensor.is_floating_point():
            return where
    raise ModelRefused(
        f"the model returns {type(out).__name__} without logits (batch, pos, vocab): it is not a causal language model"
    )


def as_ids(ids: Any, *, vocab_size: int, max_positions: int | None, device: torch.device, model: str) -> torch.Tensor:
    """Token ids as a tensor (batch, pos) on the model's device; a single row may be given without the batch axis.

    Raises EmptyBatch, TokenOutOfRange or ContextTooShort.
    """
    try:
        tensor = ids if isinstance(ids, torch.Tensor) else torch.as_tensor(ids)
    except (TypeError, ValueError) as error:
        raise EmptyBatch(
            "Token ids must form a rectangle (batch, pos); rows of unequal length are never padded: "
            f"group them by length ({error})."
        ) from error
    if tensor.ndim == 1:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim != 2 or tensor.numel() == 0:
        raise EmptyBatch(
            f"Token ids have shape {tuple(tensor.shape)}; at least one row of one id is needed: (batch, pos)."
        )
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise TokenOutOfRange(f"Token ids are integers, not {tensor.dtype}.")
    low, high = int(tensor.min()), int(tensor.max())
    if low < 0 or high >= vocab_size:
        raise TokenOutOfRange(
            f"Token id {low if low < 0 else high} is outside the vocabulary of {model}: "
            f"ids go from 0 to {vocab_size - 1}."
        )
    if max_positions is not None and tensor.shape[1] > max_positions:
        raise ContextTooShort(
            f"{tensor.shape[1]} tokens do not fit into the context of {model}, which is {max_positions}; "
            "use shorter prompts."
        )
    return tensor.to(device=device, dtype=torch.long)
