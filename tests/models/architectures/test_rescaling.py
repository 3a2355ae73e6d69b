"""RWKV divides its own weights when it first runs, and halves the stream between blocks: turned off before it can."""

from __future__ import annotations

from pathlib import Path

import torch

from interp_assert.models import load, wrap

from .builder import build, prompt, tiny_config


def logits(module: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return module(input_ids=prompt(), use_cache=False).logits


def test_weights_stay_and_the_stream_goes_on_unscaled() -> None:
    module = build("rwkv")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    model = wrap(module)
    trace = model.trace(prompt(), read=["blocks.*.resid_pre", "blocks.*.resid_post"])
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    model.verify_unchanged()
    for index in range(1, model.anatomy.n_blocks):
        torch.testing.assert_close(trace[f"blocks.{index}.resid_pre"], trace[f"blocks.{index - 1}.resid_post"])


def test_the_function_is_the_same() -> None:
    rescaled, model = build("rwkv").double(), wrap(build("rwkv").double())
    assert tiny_config("rwkv").rescale_every == 2
    reference = logits(rescaled)
    assert torch.equal(model.trace(prompt()).logits, logits(build("rwkv", rescale_every=0).double()))
    # Halving changes nothing but what the epsilon of a norm is compared with.
    torch.testing.assert_close(model.trace(prompt()).logits, reference, rtol=1e-3, atol=1e-3)


def test_half_precision_needs_it_and_gets_it_before_the_weights_are_hashed() -> None:
    model = wrap(build("rwkv").half())
    assert model.module.config.rescale_every == 2
    assert "stream from block 1 to 2" in model.anatomy.missing
    model.verify_unchanged()


def test_a_saved_model_is_opened_so(tmp_path: Path) -> None:
    module = build("rwkv")
    module.save_pretrained(tmp_path)
    model = load(str(tmp_path))
    assert not [site for site in model.anatomy.missing if site.startswith("stream")]
    assert all(torch.equal(tensor, model.module.state_dict()[name]) for name, tensor in module.state_dict().items())
