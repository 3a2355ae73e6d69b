"""The recurrences for training: logits and gradients of the stock ones, and nothing changed outside of training."""

from __future__ import annotations

import sys

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import interp_fixtures.zoo.architectures  # noqa: F401 - registers zoo_rwkv7
from interp_fixtures.zoo import scan
from interp_fixtures.zoo.architectures import rwkv7_mixing
from interp_fixtures.zoo.scan import fast_scans

VOCAB = 60
SHARED = {"vocab_size": VOCAB, "hidden_size": 32, "initializer_range": 0.3}
JAMBA = {
    "num_hidden_layers": 3,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_experts": 1,
    "num_experts_per_tok": 1,
    "attn_layer_period": 3,
    "attn_layer_offset": 1,
    "mamba_d_state": 8,
}
SHAPES = {
    "mamba": {"num_hidden_layers": 2, "state_size": 8},
    "jamba": JAMBA,
    "zoo_rwkv7": {"num_hidden_layers": 2, "head_dim": 16},
}
KERNELS = {"mamba": "mamba_selective_scan", "jamba": "mamba_selective_scan", "zoo_rwkv7": "wkv7"}


def build(kind):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SHARED, **SHAPES[kind]))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    home = sys.modules[type(model).__module__] if kind != "zoo_rwkv7" else rwkv7_mixing
    if not hasattr(home, KERNELS[kind]):
        pytest.skip(f"this transformers has no function {KERNELS[kind]} to replace")
    return model.train(), home


def random_ids(rows, length):
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(1))


def passed(model, ids):
    """Logits, and the gradient of their loss by every parameter."""
    model.zero_grad()
    out = model(input_ids=ids, labels=ids, use_cache=False)
    out.loss.backward()
    return out.logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("length", [1, 45])
@pytest.mark.parametrize("kind", SHAPES)
def test_logits_and_gradients_are_the_stock_ones(kind, length):
    model, home = build(kind)
    ids = random_ids(3, length + 1)
    stock, used = getattr(home, KERNELS[kind]), []
    setattr(home, KERNELS[kind], lambda *args, **kwargs: (used.append(1), stock(*args, **kwargs))[1])
    try:
        logits, gradients = passed(model, ids)
        assert used
        used.clear()
        with fast_scans(model):
            fast_logits, fast_gradients = passed(model, ids)
        assert not used, "the stock recurrence ran all the same"
    finally:
        setattr(home, KERNELS[kind], stock)
    assert (fast_logits - logits).abs().max() < 1e-5 * logits.abs().max()
    assert fast_gradients.keys() == gradients.keys()
    whole = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    for name, gradient in gradients.items():  # some are zero but for rounding, as that of a decay before any state
        assert (fast_gradients[name] - gradient).norm() < 1e-4 * gradient.norm() + 1e-7 * whole, name


@pytest.mark.parametrize("kind", SHAPES)
def test_without_gradients_and_afterwards_the_stock_one_runs(kind):
    model, home = build(kind)
    ids = random_ids(2, 40)
    before = getattr(home, KERNELS[kind])
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
        with fast_scans(model):
            assert getattr(home, KERNELS[kind]) is not before
            assert torch.equal(model(input_ids=ids, use_cache=False).logits, logits)
    with pytest.raises(RuntimeError, match="inside"), fast_scans(model):
        raise RuntimeError("inside")
    assert getattr(home, KERNELS[kind]) is before


@pytest.mark.parametrize("kind", SHAPES)
def test_a_state_goes_in_and_out_as_ever(kind):
    model, _ = build(kind)
    ids = random_ids(2, 12)
    cached = model(input_ids=ids, use_cache=True)
    name = next(name for name in ("cache_params", "past_key_values") if getattr(cached, name, None) is not None)
    with fast_scans(model):
        again = model(input_ids=ids, use_cache=True)
        assert torch.equal(again.logits, cached.logits)
        more = model(input_ids=ids[:, :1], use_cache=True, **{name: getattr(again, name)})
    assert torch.equal(more.logits, model(input_ids=ids[:, :1], use_cache=True, **{name: getattr(cached, name)}).logits)


def test_slow_and_fast_decays_over_several_stretches():
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3 * scan.STRETCH + 5, 2, 8)
    r, k, v, kk = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(4))
    kk = kk / kk.norm(dim=-1, keepdim=True)
    a = torch.rand(shape, generator=generator, dtype=torch.float64)
    w = torch.exp(-rwkv7_mixing.FASTEST_DECAY * torch.rand(shape, generator=generator, dtype=torch.float64).round())
    exact = rwkv7_mixing.wkv7(r, w, k, v, kk, a)
    found = scan.wkv7_by_stretches(rwkv7_mixing.wkv7, *(part.float() for part in (r, w, k, v, kk, a)))
    for one, other in zip(exact, found, strict=True):
        assert (one - other).abs().max() < 1e-5 * one.abs().max()


def test_a_model_without_such_a_recurrence_is_left_alone():
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", vocab_size=VOCAB, n_embd=32, n_layer=1, n_head=2)
    )
    ids = random_ids(1, 8)
    logits = model.eval()(ids).logits
    with fast_scans(model):
        assert torch.equal(model(ids).logits, logits)
