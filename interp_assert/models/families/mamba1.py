"""The selective scan of Mamba (mamba, falcon_mamba, jamba, zamba).

Not discoverable: the scan is a function that hands out neither its states nor its result before the gate.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023), section 3, and the
definition in transformers' ``mamba_selective_scan``, whose number formats are kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import silu, softplus

from .forms import register_kernel

__all__ = ["selective_scan"]

KERNEL = "mamba_selective_scan"


@register_kernel(KERNEL, sites="ssm.y")
def ungated(
    see: Any,
    hidden_states: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """The kernel without the gate, which is applied to what is seen: the same operations in the same order."""
    out = see.kernel(hidden_states, dt, A, B, C, D, None, *args, **kwargs)
    y, rest = (out[0], tuple(out[1:])) if isinstance(out, tuple) else (out, None)
    y = see(y.transpose(1, 2)).transpose(1, 2)
    y = y if z is None else y * silu(z)
    return y if rest is None else (y, *rest)


@register_kernel(KERNEL, sites=("state", "ssm.y"), shape="(batch, pos, d_inner, N)")
def selective_scan(
    see: Any,
    hidden_states: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    **_options: Any,
) -> Any:
    """``h[t] = exp(dt A) h[t-1] + (dt u) B``, ``y = C h + D u``.

    ``hidden_states``, ``dt`` and ``z`` are (batch, d_inner, pos), ``A`` is (d_inner, N), ``B`` and ``C`` are (batch, N,
    pos), or (batch, d_inner, N, pos) where channels differ in them.
    """
    if delta_bias is not None:
        dt = dt + delta_bias.to(dt.dtype)[..., None]
    step = (softplus(dt) if delta_softplus else dt).transpose(1, 2).unsqueeze(-1)
    B, C = (part.movedim(-1, 1) if part.ndim == 4 else part.transpose(1, 2).unsqueeze(2) for part in (B, C))
    drive = step * hidden_states.transpose(1, 2).unsqueeze(-1).float()
    out, state = [], step
    for c, state in zip(C.unbind(1), see.walk(torch.exp(step * A), drive, B.float()), strict=True):
        read = state.to(hidden_states.dtype)
        # one C for all channels makes it a matrix product
        out.append((read @ c.transpose(1, 2)).squeeze(-1) if c.shape[1] == 1 else (read * c).sum(-1))
    y = torch.stack(out, -1)
    if D is not None:
        y = y + hidden_states * D[:, None]
    y = see(y.transpose(1, 2), "ssm.y").transpose(1, 2)
    y = y if z is None else y * silu(z)
    return (y, state) if return_last_state else y
