"""Delta rules with decay: gated delta nets (qwen3_next, qwen3_5, qwen4_exp, olmo_hybrid) and Kimi's delta attention,
which decays every key feature on its own (kimi_linear, bailing_hybrid, glm5_next).

Not discoverable: transformers carries them out in chunks, in which most states never exist.

Source: Yang, Kautz and Hatamizadeh, "Gated Delta Networks" (2024), equation 10; Kimi Team, "Kimi Linear" (2025),
equation 1; number formats and normalisation as in transformers' recurrent forms of both.
"""

from __future__ import annotations

from typing import Any

import torch

from .forms import register_kernel

__all__: list[str] = []

KERNELS = {"torch_chunk_gated_delta_rule": "rsqrt", "chunk_kimi_delta_attention": "sqrt"}


def _delta(see: Any, kernel: str, query: Any, key: Any, value: Any, g: Any, beta: Any, **options: Any) -> Any:
    """``S[t] = decay S[t-1]``, then ``S[t] += k ((v - S[t]ᵀ k) beta)ᵀ``, ``y = S[t]ᵀ q``; S is (key, value) per head.

    ``query``, ``key`` are (batch, pos, key head, d_key), ``value`` (batch, pos, head, d_value), ``beta`` (batch, pos,
    head); ``g``, the logarithm of the decay, is per head or, for Kimi, per head and key feature.
    """
    dtype = query.dtype
    groups = value.shape[2] // key.shape[2]
    if groups > 1:
        query, key = (part.repeat_interleave(groups, dim=2) for part in (query, key))
    query, key, value, g, beta = (part.to(torch.float32) for part in (query, key, value, g, beta))
    if options.get("use_qk_l2norm_in_kernel"):
        query, key = (_normalised(part, kernel) for part in (query, key))
    query = query * query.shape[-1] ** -0.5
    decay = (g.unsqueeze(-1) if g.ndim == 4 else g[..., None, None]).exp()
    initial = options.get("initial_state")
    state = value.new_zeros(*value[:, 0].shape[:-1], key.shape[-1], value.shape[-1]) if initial is None else initial
    for k, v, b, keep in zip(*(part.unbind(1) for part in (key, value, beta, decay)), strict=True):
        state = state.to(value.dtype) * keep
        error = (v - (k.unsqueeze(-2) @ state).squeeze(-2)) * b.unsqueeze(-1)
        state = see(state + k.unsqueeze(-1) * error.unsqueeze(-2))
    y = (query.unsqueeze(-2) @ see.states).squeeze(-2).to(dtype)
    return y, state if options.get("output_final_state") else None


def _normalised(part: torch.Tensor, kernel: str) -> torch.Tensor:
    square = (part * part).sum(-1, keepdim=True) + 1e-6
    return part * torch.rsqrt(square) if KERNELS[kernel] == "rsqrt" else part / torch.sqrt(square)


def _form(kernel: str) -> Any:
    def form(see: Any, query: Any, key: Any, value: Any, g: Any, beta: Any, *_chunk: Any, **options: Any) -> Any:
        return _delta(see, kernel, query, key, value, g, beta, **options)

    return form


for kernel in KERNELS:
    register_kernel(kernel, shape="(batch, pos, head, d_key, d_value)")(_form(kernel))
