"""The matrix memory of xLSTM (mLSTM).

Not discoverable: chunk kernels, chosen when the module is built, hide all states but one in a chunk.

Source: Beck et al., "xLSTM" (2024), section 2.3, and transformers' ``mlstm_recurrent_step_native``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import logsigmoid

from .forms import register_kernel

__all__: list[str] = []

KERNEL = "xLSTMBackend.forward"


@register_kernel(KERNEL, sites="ssm.y")
def result(see: Any, *args: Any, **kwargs: Any) -> Any:
    """The kernel's result is (batch, head, pos, d_value)."""
    out = see.kernel(*args, **kwargs)
    h = out[0] if isinstance(out, tuple) else out
    h = see(h.transpose(1, 2).flatten(2)).unflatten(2, (h.shape[1], -1)).transpose(1, 2)
    return (h, *out[1:]) if isinstance(out, tuple) else h


@register_kernel(
    KERNEL,
    sites=("state", "ssm.y"),
    shape="(batch, pos, head, memory | normaliser | maximum)",
)
def memory(
    see: Any,
    backend: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    igate: torch.Tensor,
    fgate: torch.Tensor,
    c_initial: torch.Tensor | None = None,
    n_initial: torch.Tensor | None = None,
    m_initial: torch.Tensor | None = None,
    return_last_states: bool | None = None,
    mode: str | None = None,
) -> Any:
    """``C[t] = f C[t-1] + i k vᵀ``, ``n[t] = f n[t-1] + i k``, ``h = Cᵀq / max(|n·q|, exp(-m))``, both sums relative to
    the running maximum m of the gates' logarithms.

    ``query`` and ``key`` are (batch, head, pos, d_key), ``value`` (batch, head, pos, d_value), the gates (batch, head,
    pos) before their activation.
    """
    config = backend.config
    keep = getattr(torch, config.inference_state_dtype)
    keys, values = key.shape[-1], value.shape[-1]
    leading = key.shape[:2]
    start = (c_initial, n_initial, m_initial)
    sizes = ((keys, values), (keys,), (1,))
    memory, normaliser, top = (
        key.new_zeros(*leading, *size, dtype=keep) if given is None else given.to(keep)
        for given, size in zip(start, sizes, strict=True)
    )
    query = query * keys**-0.5
    out = []
    forget, take = logsigmoid(fgate).unsqueeze(-1), igate.unsqueeze(-1)
    for q, k, v, f, i in zip(*(part.unbind(2) for part in (query, key, value, forget, take)), strict=True):
        before, top = top, torch.maximum(f + top, i)
        old, new = torch.exp(f + before - top), torch.exp(i - top)
        memory = old.unsqueeze(-1) * memory + new.unsqueeze(-1) * (k.unsqueeze(-1) * v.unsqueeze(-2))
        normaliser = old * normaliser + new * k
        packed = see(torch.cat((memory.flatten(2).to(keep), normaliser.to(keep), top.to(keep)), -1))
        memory, normaliser, top = packed.split((keys * values, keys, 1), -1)
        memory = memory.unflatten(-1, (keys, values))
        above = (q.unsqueeze(-2) @ memory.to(q.dtype)).squeeze(-2).to(keep)
        below = (q * normaliser.to(q.dtype)).sum(-1, keepdim=True).abs()
        out.append((above / (torch.maximum(below, torch.exp(-top)) + config.eps).to(keep)).to(q.dtype))
    h = see(torch.stack(out, 1).flatten(2), "ssm.y").unflatten(2, (leading[1], values)).transpose(1, 2)
    mode = mode or config.mode
    if "inference" in mode or (config.return_last_states if return_last_states is None else return_last_states):
        return h, (memory, normaliser, top)
    return h
