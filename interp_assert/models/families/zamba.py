"""The Mamba mixer of Zamba (zamba), which scans each of its heads in a call of its own.

Not discoverable: no call of the scan knows the states of the other heads, and the projection to dt, B and C is a
product of tensors, so the whole mixer is carried out here.

Source: transformers' ``ZambaMambaMixer.forward`` without a cache.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from .forms import register_kernel
from .mamba1 import selective_scan

__all__: list[str] = []


@register_kernel("ZambaMambaMixer.forward", sites=("state", "ssm.x_proj", "ssm.y"), shape="(batch, pos, d_inner, N)")
def forward(see: Any, mixer: Any, hidden_states: torch.Tensor, *_: Any, **options: Any) -> torch.Tensor:
    """All heads in one scan, in which every channel has the B and C of its head."""
    if options.get("cache_params") is not None:
        return see.kernel(mixer, hidden_states, *_, **options)
    convolve = vars(sys.modules[type(mixer).__module__])["causal_conv1d_fn"]
    batch, length, _width = hidden_states.shape
    heads, size, n, rank = mixer.n_mamba_heads, mixer.mamba_head_dim, mixer.ssm_state_size, mixer.time_step_rank
    u, gate = mixer.in_proj(hidden_states).transpose(1, 2).view(batch, -1, 2, length).unbind(2)
    elsewhere = getattr(mixer.conv1d, "_hf_hook", None)  # of accelerate, which fetches weights when a module is called
    if elsewhere is not None:
        elsewhere.pre_forward(mixer.conv1d)
    weight = mixer.conv1d.weight.squeeze(1)
    u = convolve(u.contiguous(), weight, mixer.conv1d.bias, activation=mixer.activation)
    if elsewhere is not None:
        elsewhere.post_forward(mixer.conv1d, u)
    inside = (mixer.x_proj_weight @ u.reshape(batch, heads, size, length)).permute(0, 3, 1, 2)
    inside = see(inside.flatten(2), "ssm.x_proj").unflatten(2, (heads, -1)).permute(0, 2, 3, 1)
    time_step, B, C = inside.split((rank, n, n), 2)
    out = selective_scan(
        see,
        u,
        (mixer.dt_proj_weight @ time_step).flatten(1, 2),
        -torch.exp(mixer.A_log.float()).flatten(0, 1),
        B.repeat_interleave(size, 1),
        C.repeat_interleave(size, 1),
        mixer.D.float().flatten(),
        gate,
        mixer.dt_proj_bias.float().flatten(),
        delta_softplus=True,
    )
    return mixer.out_proj(out.transpose(1, 2).to(hidden_states.dtype))
