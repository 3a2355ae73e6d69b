"""Torch functions that hold others: attention opened up, so that what is computed in it can be read or replaced."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode


def over_an_axis() -> bool:
    """Whether ``torch.vmap`` is running: its tensors stand for slices of others and have no memory of their own."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def call_openly(mode: TorchFunctionMode, func: Callable[..., Any], args: Any, kwargs: Any) -> Any | None:
    """Call a function that is written in terms of other torch functions so that ``mode`` sees those; None for all
    other functions, which are not called.

    ``torch.nn.MultiheadAttention`` is one such function, which asks whether a mode is there and hands itself over as
    a whole.
    """
    if func is not functional.multi_head_attention_forward:
        return None
    with patch.object(functional, "has_torch_function", lambda *_: False), mode:
        return func(*args, **kwargs)


def plain_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    handler: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """``scaled_dot_product_attention`` as PyTorch's documentation defines it, without fusion (and without dropout:
    models under test are in eval mode); ``handler`` sees the probabilities (..., head, query, key) and gives those to
    use.
    """
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~visible, -math.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    blind = scores.isneginf().all(dim=-1, keepdim=True)  # a query that may see no key attends to nothing
    wide = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    pattern = torch.softmax(wide, dim=-1).to(query.dtype).masked_fill(blind, 0.0)
    return handler(pattern) @ value
