"""Attention probabilities: seen and replaced where they are computed, whichever attention implementation the model
uses.

A softmax is a function, not a module, so no hook sees it, and fused attention never shows it at all. For the span of
one forward pass a torch function mode watches the attention of the blocks that are asked for;
``scaled_dot_product_attention`` is carried out in its plain form there (the definition in PyTorch's documentation),
so that its probabilities exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_SOFTMAX = frozenset({torch.nn.functional.softmax, torch.softmax, torch.Tensor.softmax})


class PatternMode(TorchFunctionMode):
    """Lives for one forward pass. ``enter`` and ``leave`` say which block is running; its handler sees the
    probabilities.
    """

    def __init__(self) -> None:
        super().__init__()
        self.running: list[Callable[[torch.Tensor], torch.Tensor]] = []

    def enter(self, handler: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.running.append(handler)

    def leave(self) -> None:
        self.running.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.running:
            return func(*args, **kwargs)
        if func is torch.nn.functional.scaled_dot_product_attention:
            return plain_attention(*args, **kwargs, handler=self.running[-1])
        out = func(*args, **kwargs)
        return self.running[-1](out) if func in _SOFTMAX else out


def is_pattern(probabilities: torch.Tensor, heads: int, merged: bool, batch: int, length: int) -> bool:
    """Whether a softmax is attention's: (batch, head, query, key), or (batch * head, query, key) where merged."""
    leading = (batch * heads,) if merged else (batch, heads)
    shape = tuple(probabilities.shape)
    return shape[:-2] == leading and shape[-2] == length <= shape[-1]


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
    """``scaled_dot_product_attention`` without fusion (and without dropout: models under test are in eval mode)."""
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
