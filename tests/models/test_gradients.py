"""Derivatives of a traced pass, against finite differences of edited ones."""

from __future__ import annotations

import pytest
import torch

from interp_assert.models import edits, wrap

from . import tiny


def test_the_logits_can_be_differentiated_by_every_site() -> None:
    model = wrap(tiny.build("gpt2").double(), id="gpt2")  # nothing in it is computed in single precision
    ids = tiny.token_ids(batch=1, length=5)
    sites = [site for site in model.anatomy.sites if site.startswith("blocks.1.")]
    generator = torch.Generator().manual_seed(0)
    for site in sites:
        trace = model.trace(ids, read=[site], grad=True)
        value, score = trace[site], trace.logits[0, -1, 7]
        (gradient,) = torch.autograd.grad(score, value)
        direction = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        step = 1e-5 * direction
        ends = [model.trace(ids, write={site: edits.add(by)}).logits[0, -1, 7] for by in (step, -step)]
        slope = float(ends[0] - ends[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-9), site


def test_a_steering_vector_gets_its_gradient() -> None:
    model = wrap(tiny.build("gpt2"), id="gpt2")
    vector = torch.zeros(tiny.D, requires_grad=True)
    trace = model.trace(
        tiny.token_ids(), read=["blocks.2.attn.q"], write={"blocks.0.resid_post": edits.add(vector)}, grad=True
    )
    (through_logits,) = torch.autograd.grad(trace.logits.sum(), vector, retain_graph=True)
    (through_query,) = torch.autograd.grad(trace["blocks.2.attn.q"].sum(), vector)
    assert through_logits.abs().sum() > 0
    assert through_query.abs().sum() > 0


def test_nothing_is_attached_unless_asked_for() -> None:
    model = wrap(tiny.build("gpt2"), id="gpt2")
    trace = model.trace(tiny.token_ids(), read=["blocks.0.attn.q", "blocks.0.resid_post"])
    assert not trace.logits.requires_grad
    assert not trace["blocks.0.attn.q"].requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("architecture", ["mamba", "mamba2"])
def test_the_logits_can_be_differentiated_by_every_state(architecture: str) -> None:
    model = wrap(tiny.build(architecture).double(), id=architecture)
    if not model.anatomy.has("blocks.1.state"):
        pytest.skip(model.anatomy.missing["blocks.*.state"])
    ids = tiny.token_ids(batch=2, length=5)
    trace = model.trace(ids, read=["blocks.1.state"], grad=True)
    states = trace["blocks.1.state"]
    plain = model.trace(ids, read=["blocks.1.state"])
    assert torch.equal(states.detach(), plain["blocks.1.state"])
    (gradient,) = torch.autograd.grad(trace.logits[0, -1, 7], states)
    assert not gradient[1].any()  # the other row
    assert all(gradient[0, position].any() for position in range(5))
    direction = torch.randn(states.shape, generator=torch.Generator().manual_seed(0), dtype=states.dtype)
    for position in range(5):
        step = 1e-2 * direction * (torch.arange(5) == position).view(1, 5, *[1] * (states.ndim - 2))
        ends = [model.trace(ids, write={"blocks.1.state": edits.add(by)}).logits[0, -1, 7] for by in (step, -step)]
        slope = float(ends[0] - ends[1]) / 2e-2
        # the kernels compute in single precision whatever the weights are
        assert float((gradient * direction)[:, position].sum()) == pytest.approx(slope, rel=1e-2, abs=1e-4)
