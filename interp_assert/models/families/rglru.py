"""The gated linear recurrence RG-LRU (recurrent_gemma).

Not discoverable: a method loops over positions and hands out its states rounded to the weights' number format.

Source: De et al., "Griffin" (2024), section 2.4.
"""

from __future__ import annotations

from typing import Any

import torch

from .forms import register_kernel

__all__: list[str] = []

KERNEL = "RecurrentGemmaRglru._rnn_scan"


@register_kernel(KERNEL, shape="(batch, pos, d_inner)")
def scan(
    see: Any,
    _self: Any,
    hidden_states: torch.Tensor,
    recurrent_gate: torch.Tensor,
    reset: torch.Tensor,
    recurrent_states: torch.Tensor | None,
    acc_dtype: torch.dtype = torch.float32,
) -> tuple[torch.Tensor, torch.Tensor]:
    """``h[t] = a h[t-1] + x``, with a = 0 where a document begins; what is handed on is h itself."""
    decay = (recurrent_gate * ~reset).type(acc_dtype)
    states = torch.stack(list(see.walk(decay, hidden_states.to(acc_dtype), initial=recurrent_states)), 1)
    return states.type(hidden_states.dtype), states[:, -1]
