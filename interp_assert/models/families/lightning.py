"""Lightning attention (minimax): linear attention with a fixed decay per head.

Not discoverable: the recurrence is written out in ``forward``, in blocks in which most states never exist.

Source: Qin et al., "Lightning Attention-2" (2024), and transformers' ``MiniMaxLightningAttention.forward`` without a
cache.
"""

from __future__ import annotations

from typing import Any

import torch

from .forms import register_kernel

__all__: list[str] = []


@register_kernel(
    "MiniMaxLightningAttention.forward", sites=("state", "ssm.y"), shape="(batch, pos, head, d_key, d_value)"
)
def forward(
    see: Any,
    mixer: Any,
    hidden_states: torch.Tensor,
    position_embeddings: Any,
    attention_mask: torch.Tensor | None,
    past_key_values: Any = None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """``S[t] = exp(-slope) S[t-1] + k vᵀ``, ``y = Sᵀ q``, then norm, gate and output projection."""
    if past_key_values is not None:
        return see.kernel(mixer, hidden_states, position_embeddings, attention_mask, past_key_values, **options)
    projected = mixer.act_fn(mixer.qkv_proj(hidden_states))
    if attention_mask is not None:
        projected = (projected * attention_mask[:, :, None]).to(projected.dtype)
    query, key, value = projected.unflatten(-1, (mixer.num_attention_heads, -1)).chunk(3, dim=-1)
    decay = torch.exp(-mixer.slope_rate).to(key.dtype).expand(1, key.shape[1], -1, 1, 1)
    out, state = [], key
    for q, state in zip(query.unbind(1), see.walk(decay, key.unsqueeze(-1), value.unsqueeze(-2)), strict=True):
        out.append((q.unsqueeze(-2) @ state).flatten(1))
    y = see(torch.stack(out, 1), "ssm.y")
    return mixer.out_proj(torch.sigmoid(mixer.output_gate(hidden_states)) * mixer.norm(y)), state
