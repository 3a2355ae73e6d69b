"""The scan of Mamba-2 (mamba2, bamba, zamba2, falcon_h1, granitemoehybrid, nemotron_h).

Not discoverable: transformers carries it out in chunks, in which most states never exist.

Source: Dao and Gu, "Transformers are SSMs" (2024), section 3, and the definition in transformers'
``mamba2_chunk_scan``, whose number formats and clamping of dt are kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import softplus

from .forms import register_kernel

__all__: list[str] = []

KERNEL = "mamba2_chunk_scan"


@register_kernel(KERNEL, shape="(batch, pos, head, d_head, N)")
def scan(
    see: Any,
    hidden_states: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    chunk_size: int,
    D: torch.Tensor | None = None,
    dt_bias: torch.Tensor | None = None,
    initial_states: torch.Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")),
    return_final_states: bool = False,
    **_options: Any,
) -> Any:
    """Per head ``h[t] = exp(dt A) h[t-1] + (dt x) B``, ``y = C h + D x``.

    ``hidden_states`` is (batch, pos, head, d_head), ``dt`` (batch, pos, head), ``B`` and ``C`` (batch, pos, group, N).
    """
    heads = hidden_states.shape[2]
    if dt_bias is not None:
        dt = dt + dt_bias.to(dt.dtype)
    dt = torch.clamp(softplus(dt) if dt_softplus else dt, *dt_limit)
    x = hidden_states.float()
    B, C = (part.float().repeat_interleave(heads // part.shape[2], dim=2) for part in (B, C))
    decay = torch.exp(A.to(x.dtype) * dt.float())[..., None, None]
    walk = see.walk(decay, (x * dt[..., None].float()).unsqueeze(-1), B.unsqueeze(-2), initial_states)
    out, state = [], x
    for c, state in zip(C.unsqueeze(-1).unbind(1), walk, strict=True):
        out.append((state @ c).squeeze(-1))
    y = torch.stack(out, 1)
    if D is not None:
        y = y + D[..., None] * x
    return (y, state) if return_final_states else y
