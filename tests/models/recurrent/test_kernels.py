"""Recurrent mixers of the user's own: a form in at most ten lines; torch's recurrent modules without any."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from interp_assert import register_kernel
from interp_assert.errors import SiteNotAvailable, UsageProblem
from interp_assert.models import Model, edits, wrap

from .kinds import distance

VOCAB, D, HEADS, LENGTH = 50, 32, 4, 7


def wkv(r: Any, w: Any, k: Any, v: Any, a: Any, b: Any) -> torch.Tensor:
    """The recurrence of RWKV-7, each (batch, pos, head, d_head), without showing its states."""
    state = v.new_zeros(v.shape[0], HEADS, v.shape[-1], k.shape[-1])
    out = []
    for t in range(v.shape[1]):
        removed = (state @ a[:, t, :, :, None]) * b[:, t, :, None, :]
        state = state * w[:, t, :, None, :] + removed + v[:, t, :, :, None] * k[:, t, :, None, :]
        out.append((state @ r[:, t, :, :, None]).squeeze(-1))
    return torch.stack(out, 1)


class TimeMix(nn.Module):
    """RWKV-7's time mixing without its token shift and its low-rank projections."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(D, 5 * D)
        self.norm = nn.GroupNorm(HEADS, D)
        self.output = nn.Linear(D, D)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        r, w, k, v, a = (part.unflatten(-1, (HEADS, -1)) for part in self.project(x).chunk(5, -1))
        kk = F.normalize(k, dim=-1)
        rate = torch.sigmoid(a)
        y = wkv(r, torch.exp(-0.6 * torch.sigmoid(w)), k * rate, v, -kk, kk * rate).flatten(2)
        return self.output(self.norm(y.flatten(0, 1)).view_as(x))


class WrittenOut(nn.Module):
    """A mixer whose recurrence stands in its forward: a leaky sum, without projections."""

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.linspace(-1, 1, D))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        keep, h, out = torch.sigmoid(self.decay), torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = keep * h + (1 - keep) * x[:, t]
            out.append(h)
        return torch.stack(out, 1)


class Unregistered(nn.Module):
    """The same without a form."""

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.linspace(-1, 1, D))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, out = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = torch.sigmoid(self.decay) * h + x[:, t]
            out.append(h)
        return torch.stack(out, 1)


class Block(nn.Module):
    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.norm, self.mixer = nn.LayerNorm(D), mixer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mixer(self.norm(x))


class LanguageModel(nn.Module):
    def __init__(self, mixer: type[nn.Module], blocks: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(VOCAB, D)
        self.blocks = nn.ModuleList(Block(mixer()) for _ in range(blocks))
        self.unembed = nn.Linear(D, VOCAB)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.unembed(x)


@register_kernel(wkv, shape="(batch, pos, head, d_value, d_key)")
def stepwise(see: Any, r: Any, w: Any, k: Any, v: Any, a: Any, b: Any) -> torch.Tensor:
    state = v.new_zeros(v.shape[0], HEADS, v.shape[-1], k.shape[-1])
    for t in range(v.shape[1]):
        removed = (state @ a[:, t, :, :, None]) * b[:, t, :, None, :]
        state = see(state * w[:, t, :, None, :] + removed + v[:, t, :, :, None] * k[:, t, :, None, :])
    return (see.states @ r.unsqueeze(-1)).squeeze(-1)


@register_kernel(WrittenOut.forward, shape="(batch, pos, d_inner)")
def leaky_sum(see: Any, mixer: Any, x: torch.Tensor) -> torch.Tensor:
    keep = torch.sigmoid(mixer.decay).expand(1, x.shape[1], -1)
    return torch.stack(list(see.walk(keep, (1 - keep) * x)), 1)


def tokens(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, VOCAB, (2, LENGTH), generator=torch.Generator().manual_seed(seed))


def wrapped(mixer: type[nn.Module]) -> Model:
    return wrap(LanguageModel(mixer).eval(), id=mixer.__name__)


def test_a_registration_takes_at_most_ten_lines() -> None:
    assert len(inspect.getsource(stepwise).splitlines()) <= 10


def test_states_of_a_mixer_of_ones_own() -> None:
    model, ids = wrapped(TimeMix), tokens()
    trace = model.trace(ids, read=["blocks.*.state", "blocks.1.ssm.y", "blocks.1.ssm.gated", "blocks.1.ssm.in_proj"])
    assert trace["blocks.1.state"].shape == (2, LENGTH, HEADS, D // HEADS, D // HEADS)
    assert distance(trace.logits, model.trace(ids).logits) < 1e-6
    assert "(batch, pos, head=4, d_value=8, d_key=8)" in model.anatomy.report()
    # a delta rule: what the key of this step reads out is nearly what was just written
    shorter = model.trace(ids[:, :3], read=["blocks.1.state"])["blocks.1.state"]
    torch.testing.assert_close(shorter, trace["blocks.1.state"][:, :3])
    muted = model.trace(ids, read=["blocks.1.ssm.y"], write={"blocks.1.state": 0.0})
    assert not muted["blocks.1.ssm.y"].any()


def test_a_recurrence_in_forward_has_states_and_a_result() -> None:
    model, ids = wrapped(WrittenOut), tokens()
    trace = model.trace(ids, read=["blocks.0.state", "blocks.0.ssm.y", "blocks.0.ssm.out"])
    torch.testing.assert_close(trace["blocks.0.state"], trace["blocks.0.ssm.out"])
    assert torch.equal(trace["blocks.0.ssm.y"], trace["blocks.0.ssm.out"])
    with pytest.raises(SiteNotAvailable, match="no module of the block holds the recurrence together with projections"):
        model.trace(ids, read=["blocks.0.ssm.in_proj"])


def test_an_unregistered_recurrence_says_what_to_do() -> None:
    model = wrapped(Unregistered)
    with pytest.raises(SiteNotAvailable, match="no kernel is known that carries out its recurrence; register_kernel"):
        model.trace(tokens(), read=["blocks.0.state"])


def test_forms_that_show_too_much_or_too_little_are_told() -> None:
    from interp_assert.models.families import forms

    for form, message in ((_nothing, "showed 0 states in a pass over"), (_twice, "a state of shape .* at step")):
        register_kernel(Unregistered.forward)(form)
        try:
            with pytest.raises(SiteNotAvailable, match=message):
                wrapped(Unregistered).trace(tokens(), read=["blocks.0.state"])
        finally:
            del forms._forms[f"{__name__}:Unregistered.forward"]


def _nothing(see: Any, mixer: Any, x: torch.Tensor) -> torch.Tensor:
    return see.kernel(mixer, x)


def _twice(see: Any, _mixer: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([see(see(step)) for step in x.unbind(1)], 1)


def causal_conv1d_fn(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(batch, feature, pos), under the name that mixers of transformers give theirs."""
    return F.conv1d(F.pad(x, (2, 0)), weight[:, None], groups=x.shape[1])


class Convolving(TimeMix):
    def __init__(self) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.randn(D, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(causal_conv1d_fn(x.transpose(1, 2), self.taps).transpose(1, 2))


class ConvolvingBefore(Block):
    """A convolution of its own before a mixer that has one."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__(mixer)
        self.taps = nn.Parameter(torch.randn(D, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mixer(causal_conv1d_fn(self.norm(x).transpose(1, 2), self.taps).transpose(1, 2))


class Twice(TimeMix):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(super().forward(x))


def test_the_mixers_own_call_of_a_kernel_is_meant() -> None:
    module = LanguageModel(Convolving).eval()
    module.blocks = nn.ModuleList(ConvolvingBefore(block.mixer) for block in module.blocks)
    model, site = wrap(module.eval(), id="convolving"), "blocks.1.ssm.conv"
    trace = model.trace(tokens(), read=[site, "blocks.1.ssm.x_proj"])
    with torch.no_grad():
        expected = module.blocks[1].mixer.project(trace[site])
    torch.testing.assert_close(trace["blocks.1.ssm.x_proj"], expected)


def test_two_recurrences_in_a_block_are_ambiguous() -> None:
    with pytest.raises(SiteNotAvailable, match="the block runs 2 recurrences; one name would be ambiguous"):
        wrapped(Twice).trace(tokens(), read=["blocks.0.state"])


def test_what_cannot_be_registered() -> None:
    with pytest.raises(UsageProblem, match="cannot be found by a name"):
        register_kernel(lambda x: x)
    with pytest.raises(UsageProblem, match=r"a form shows .*'ssm.z' is none of them"):
        register_kernel(wkv, sites="ssm.z")


class Torch(nn.Module):
    """Blocks around one of torch's recurrent modules."""

    kind: type[nn.RNNBase] = nn.GRU
    layers = 1

    def __init__(self) -> None:
        super().__init__()
        self.inner = self.kind(D, D, self.layers, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)[0]


@pytest.mark.parametrize(("kind", "layers"), [(nn.GRU, 1), (nn.GRU, 2), (nn.RNN, 1), (nn.LSTM, 1), (nn.LSTM, 2)])
def test_torchs_recurrent_modules(kind: type[nn.RNNBase], layers: int) -> None:
    model = wrapped(type("Mixer", (Torch,), {"kind": kind, "layers": layers}))
    ids, site = tokens(), "blocks.1.state"
    trace = model.trace(ids, read=[site, "blocks.1.ssm.y"])
    assert distance(trace.logits, model.trace(ids).logits) < 1e-6
    inner = model.module.get_submodule("blocks.1.mixer.inner")
    x = model.trace(ids, read=["blocks.1.resid_pre"])["blocks.1.resid_pre"]
    with torch.no_grad():
        _, last = inner(model.module.get_submodule("blocks.1.norm")(x[:, :4]))
    states = trace[site][:, 3]
    if kind is nn.LSTM:
        torch.testing.assert_close(states[:, :, 0], last[0].transpose(0, 1))
        torch.testing.assert_close(states[:, :, 1], last[1].transpose(0, 1))
    else:
        torch.testing.assert_close(states, last.transpose(0, 1))
    edited = model.trace(ids, read=[site, "blocks.1.ssm.y"], write={site: edits.at(3, edits.zero())})
    assert not edited["blocks.1.ssm.y"][:, 3].any()
    assert torch.equal(edited["blocks.1.ssm.y"][:, :3], trace["blocks.1.ssm.y"][:, :3])
    assert not torch.equal(edited["blocks.1.ssm.y"][:, 4], trace["blocks.1.ssm.y"][:, 4])
