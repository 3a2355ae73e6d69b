"""States against the recurrences of the papers, written out here from the raw projections and weights."""

from __future__ import annotations

import torch
from torch.nn.functional import silu, softplus

from interp_assert.models import wrap

from ..architectures import builder
from .kinds import distance, opened


def test_mamba_by_hand() -> None:
    model = opened("mamba")
    mixer = model.module.get_submodule(f"{model.anatomy.blocks[1].path}.mixer")
    read = [f"blocks.1.{part}" for part in ("ssm.in_proj", "ssm.conv", "ssm.x_proj", "state", "ssm.y", "ssm.gated")]
    values = {site.split(".", 2)[2]: value for site, value in model.trace(builder.prompt(2, 9), read=read).items()}
    with torch.no_grad():
        u_in, z = values["ssm.in_proj"].chunk(2, -1)
        weight, taps = mixer.conv1d.weight[:, 0], mixer.conv1d.weight.shape[-1]
        padded = torch.cat([u_in.new_zeros(2, taps - 1, u_in.shape[-1]), u_in], 1)
        u = silu(sum(padded[:, k : k + 9] * weight[:, k] for k in range(taps)) + mixer.conv1d.bias)
        torch.testing.assert_close(values["ssm.conv"], u)
        rank, n = mixer.dt_proj.in_features, mixer.A_log.shape[1]
        low, b, c = values["ssm.x_proj"].split((rank, n, n), -1)
        torch.testing.assert_close(values["ssm.x_proj"], u @ mixer.x_proj.weight.T)
        dt = softplus(low @ mixer.dt_proj.weight.T + mixer.dt_proj.bias)
        a = -mixer.A_log.exp()
        h = torch.zeros(2, u.shape[-1], n)
        for t in range(9):
            h = (dt[:, t, :, None] * a).exp() * h + (dt[:, t] * u[:, t])[..., None] * b[:, t, None, :]
            y = (h * c[:, t, None, :]).sum(-1) + mixer.D * u[:, t]
            assert distance(values["state"][:, t], h) < 1e-6
            assert distance(values["ssm.y"][:, t], y) < 1e-6
            assert distance(values["ssm.gated"][:, t], y * silu(z[:, t])) < 1e-6


def test_mamba2_by_hand() -> None:
    model = opened("mamba2")
    mixer = model.module.get_submodule(f"{model.anatomy.blocks[1].path}.mixer")
    read = [f"blocks.1.{part}" for part in ("ssm.in_proj", "ssm.conv", "state", "ssm.y")]
    values = {site.split(".", 2)[2]: value for site, value in model.trace(builder.prompt(2, 9), read=read).items()}
    heads, n = mixer.A_log.shape[0], mixer.ssm_state_size
    inner = values["ssm.y"].shape[-1]
    with torch.no_grad():
        x, b, c = values["ssm.conv"].split((inner, mixer.n_groups * n, mixer.n_groups * n), -1)
        dt = softplus(values["ssm.in_proj"][..., -heads:] + mixer.dt_bias)
        x = x.unflatten(-1, (heads, -1))
        b, c = (
            part.unflatten(-1, (mixer.n_groups, n)).repeat_interleave(heads // mixer.n_groups, 2) for part in (b, c)
        )
        h = torch.zeros(2, heads, x.shape[-1], n)
        for t in range(9):
            decay = (-dt[:, t] * mixer.A_log.exp())[..., None, None].exp()
            h = decay * h + dt[:, t, :, None, None] * x[:, t, :, :, None] * b[:, t, :, None, :]
            y = (h * c[:, t, :, None, :]).sum(-1) + mixer.D[:, None] * x[:, t]
            assert distance(values["state"][:, t], h) < 1e-6
            assert distance(values["ssm.y"][:, t], y.flatten(1)) < 1e-6


def test_a_gated_delta_net_forgets_and_corrects() -> None:
    """With a key of one direction only, the state's row along it is the value that was last written, decayed."""
    model = wrap(builder.build("olmo_hybrid"), id="olmo_hybrid")
    opened("olmo_hybrid")
    mixer = model.module.get_submodule(f"{model.anatomy.blocks[0].path}.linear_attn")
    width = mixer.key_dim
    with torch.no_grad():
        mixer.b_proj.weight.zero_()  # beta = sigmoid(0), doubled where negative eigenvalues are allowed: a full write
        mixer.a_proj.weight.zero_()
        mixer.A_log.fill_(-40.0)  # no decay
    model = wrap(model.module, id="edited")
    full_write = 2.0 if mixer.allow_neg_eigval else 1.0
    ids = builder.prompt(1, 6)

    def same_key(conv: torch.Tensor) -> torch.Tensor:
        key = torch.zeros_like(conv[..., :width]).unflatten(-1, (-1, mixer.head_k_dim))
        key[..., 0] = 1.0
        return torch.cat([conv[..., :width], key.flatten(-2), conv[..., 2 * width :]], -1)

    trace = model.trace(ids, read=["blocks.0.ssm.conv", "blocks.0.state"], write={"blocks.0.ssm.conv": same_key})
    value = trace["blocks.0.ssm.conv"][..., 2 * width :].unflatten(-1, (-1, mixer.head_v_dim))
    state, beta = trace["blocks.0.state"], full_write / 2
    expected = torch.zeros_like(value[:, 0])
    for t in range(6):
        expected = expected + beta * (value[:, t] - expected)
        torch.testing.assert_close(state[:, t, :, 0], expected, atol=1e-5, rtol=1e-4)
    assert not state[:, :, :, 1:].any()
