"""The switches within an architecture that move what is added where, and number formats other than float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from interp_assert.models import Model, wrap

from . import tiny

VARIANTS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "falcon, alibi": ("falcon", {"alibi": True}, True),
    "falcon, new decoder": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}, True),
    "falcon, new decoder, one norm": (
        "falcon",
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
        True,
    ),
    "falcon, sequential": ("falcon", {"parallel_attn": False, "multi_query": False}, False),
    "bloom, residual after the norm": ("bloom", {"apply_residual_connection_post_layernorm": True}, False),
    "opt, post-norm, projected embedding": (
        "opt",
        {"do_layer_norm_before": False, "word_embed_proj_dim": 16},
        False,
    ),
    "opt, no final norm": ("opt", {"_remove_final_layer_norm": True}, False),
    "gpt_neox, sequential": ("gpt_neox", {"use_parallel_residual": False}, False),
    "gpt_neox, partial rotary": ("gpt_neox", {"rotary_pct": 0.25}, True),
    "llama, biases, tied": (
        "llama",
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        False,
    ),
    "gpt2, eager, scaled by layer": (
        "gpt2",
        {
            "attn_implementation": "eager",
            "scale_attn_by_inverse_layer_idx": True,
            "reorder_and_upcast_attn": True,
        },
        False,
    ),
    "phi, normalised queries and keys": ("phi", {"qk_layernorm": True}, True),
    "qwen3, sliding window": ("qwen3", {"use_sliding_window": True, "sliding_window": 4}, False),
    "gemma2, no caps": ("gemma2", {"final_logit_softcapping": None, "attn_logit_softcapping": None}, False),
    "llama, one block": ("llama", {"num_hidden_layers": 1}, False),
    "mamba, one block": ("mamba", {"num_hidden_layers": 1}, False),
    "mamba, residual as the weights": ("mamba", {"residual_in_fp32": False}, False),
}


def everything_holds(model: Model) -> None:
    anatomy = model.anatomy
    trace = model.trace(tiny.token_ids(), read=list(anatomy.sites))  # which proves every kind of site
    assert set(trace) == set(anatomy.sites)
    assert [proof.describe() for proof in anatomy.proofs if not proof.holds] == []
    assert anatomy.readout is not None
    assert all(f"blocks.{block.index}.{kind}.out" in trace for block in anatomy.blocks for kind in block.kinds)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_switch_is_followed(name: str) -> None:
    architecture, changes, parallel = VARIANTS[name]
    model = wrap(tiny.build(architecture, **changes))
    everything_holds(model)
    assert model.anatomy.n_blocks == changes.get("num_hidden_layers", tiny.LAYERS)
    assert {block.parallel for block in model.anatomy.blocks} == {parallel}


def test_a_post_norm_block_has_its_addends_before_the_norm() -> None:
    model = wrap(tiny.build("opt", do_layer_norm_before=False, word_embed_proj_dim=16))
    trace = model.trace(tiny.token_ids(), read=[f"blocks.1.{part}" for part in ("resid_pre", "attn.out", "mlp.out")])
    layer = model.module.get_submodule("model.decoder.layers.1")
    with torch.no_grad():
        middle = layer.self_attn_layer_norm(trace["blocks.1.resid_pre"] + trace["blocks.1.attn.out"])
        expected = layer.final_layer_norm(middle + trace["blocks.1.mlp.out"])
    got = model.trace(tiny.token_ids(), read="blocks.1.resid_post")["blocks.1.resid_post"]
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_every_number_format(architecture: str, dtype: torch.dtype) -> None:
    model = wrap(tiny.build(architecture).to(dtype))  # type: ignore[arg-type]
    everything_holds(model)
    resid = model.trace(tiny.token_ids(), read="blocks.1.resid_post")["blocks.1.resid_post"]
    assert torch.isfinite(model.unembed(resid.float())).all(), "residuals may come in another format"
