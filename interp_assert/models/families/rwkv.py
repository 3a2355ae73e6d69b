"""RWKV-4 (rwkv): time mixing, and the stream that transformers halves between blocks.

Not discoverable: the recurrence is a function, and its two sums are kept relative to a running maximum. On its first
pass in eval mode the model divides the weights of later blocks by powers of two, in place, and halves the stream every
``rescale_every`` blocks, lest float16 overflow.

Source: Peng et al., "RWKV" (2023), appendix D, and transformers' ``rwkv_linear_attention_cpu``.
"""

from __future__ import annotations

from typing import Any

import torch

from .family import Family
from .forms import register_kernel
from .registry import register_family

__all__: list[str] = []


@register_family("RwkvForCausalLM")
def rwkv(module: Any) -> Family:
    """Trained weights stay as they are: the function is the same without rescaling, but for the epsilon of norms."""
    return Family(prepare=keep_weights)


def keep_weights(module: Any) -> None:
    """Turn rescaling off in a module that has not run yet; in float16, which needs it, do it now."""
    if module.dtype == torch.float16:
        module.rwkv._rescale_layers()
    elif not module.rwkv.layers_are_rescaled:
        module.config.rescale_every = 0


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
