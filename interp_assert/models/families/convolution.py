"""The short causal convolution of recurrent mixers, with its activation.

The ``conv1d`` module that holds its weights is never called: a function takes them, so no hook sees the result.
"""

from __future__ import annotations

from typing import Any

import torch

from .forms import register_kernel

__all__: list[str] = []


@register_kernel("causal_conv1d_fn", sites="ssm.conv")
def convolution(see: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """(batch, d_conv, pos), as all mixers of transformers 5 have it; the site is (batch, pos, d_conv)."""
    out = see.kernel(hidden_states, *args, **kwargs)
    return see(out.transpose(1, 2)).transpose(1, 2)
