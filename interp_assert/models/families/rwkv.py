"""Time mixing of RWKV-4 (rwkv).

Not discoverable: the recurrence is a function, and its two sums are kept relative to a running maximum.

Source: Peng et al., "RWKV" (2023), appendix D, and transformers' ``rwkv_linear_attention_cpu``.
"""

from __future__ import annotations

from typing import Any

import torch

from .forms import register_kernel

__all__: list[str] = []

KERNEL = "rwkv_linear_attention"


@register_kernel(KERNEL, shape="(batch, pos, numerator | denominator | maximum, d_inner)")
def linear_attention(
    see: Any,
    time_decay: torch.Tensor,
    time_first: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    state: Any = None,
    return_state: bool = False,
) -> tuple[torch.Tensor, Any]:
    """Weighted mean of the values, weights ``exp(k)`` decaying with distance, the current one with a bonus.

    The real numerator and denominator are ``exp(maximum)`` times those of the state. Token shift keeps two more
    states, which are no part of it: they are the inputs of the position before.
    """
    known = state is not None
    if state is None:
        zero = torch.zeros_like(key[:, 0], dtype=torch.float32)
        state = (zero, zero, zero - 1e38)
    decay = -torch.exp(time_decay)
    out = []
    for k, v in zip(key.float().unbind(1), value.unbind(1), strict=True):
        numerator, denominator, maximum = state
        top = torch.maximum(maximum, k + time_first)
        past, present = torch.exp(maximum - top), torch.exp(k + time_first - top)
        out.append((past * numerator + present * v) / (past * denominator + present))
        top = torch.maximum(maximum + decay, k)
        past, present = torch.exp(maximum + decay - top), torch.exp(k - top)
        after = torch.stack((past * numerator + present * v, past * denominator + present, top), 1)
        state = see(after).unbind(1)
    return torch.stack(out, 1).to(key.dtype), list(state) if return_state or known else None
