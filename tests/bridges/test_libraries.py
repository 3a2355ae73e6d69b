"""TransformerLens and nnsight themselves: their objects are accepted, and what they see is what we see."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from models import own_models, tiny

from interp_assert import Model, load, wrap
from interp_assert.bridges import BACKENDS, BackendUnavailable, compare, open_backend
from interp_assert.models import edits, twins
from interp_assert.models.taps.shared import SharedTap


@pytest.fixture(params=BACKENDS)
def library(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    pytest.importorskip(name, reason=f"needs the extra {name.replace('_', '-')}")
    return name


def bridge(module: torch.nn.Module) -> Any:
    sources = pytest.importorskip("transformer_lens.model_bridge.sources", reason="needs the extra transformer-lens")
    return sources.build_bridge_from_module(module, type(module).__name__, hf_config=module.config)


def sight(module: torch.nn.Module) -> Any:
    nnsight = pytest.importorskip("nnsight", reason="needs the extra nnsight")
    return nnsight.NNsight(module)


NAMED_BY_BOTH = {
    ("transformer_lens", "gpt2"): 14,
    ("transformer_lens", "llama"): 14,
    ("transformer_lens", "gemma2"): 14,
    ("transformer_lens", "bloom"): 14,
    ("transformer_lens", "mamba2"): 5,
    ("nnsight", "gpt2"): 15,
    ("nnsight", "llama"): 15,
    ("nnsight", "gemma2"): 15,
    ("nnsight", "bloom"): 12,
    ("nnsight", "mamba2"): 7,
}
"""Kinds of sites compared, so that none gets lost unnoticed."""


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2", "bloom", "mamba2"])
def test_they_agree_with_us(library: str, architecture: str) -> None:
    model = wrap(tiny.build(architecture))
    found = compare(model, open_backend(library, model))
    assert [agreement.describe() for agreement in found if not agreement.holds] == []
    kinds = {agreement.site.rpartition("blocks.")[2].lstrip("0123456789.") for agreement in found}
    assert len(kinds) >= NAMED_BY_BOTH[library, architecture], kinds


def test_no_single_call_of_several_stands_for_one_attention() -> None:
    pytest.importorskip("nnsight", reason="needs the extra nnsight")
    model = wrap(tiny.build("diffllama"))
    found = compare(model, open_backend("nnsight", model))
    assert [agreement.describe() for agreement in found if not agreement.holds] == []
    compared = {agreement.site for agreement in found}
    assert "blocks.1.attn.head_out" in compared  # what a module takes
    assert ("blocks.1.attn.q" in compared) == (not isinstance(model.anatomy.routes["blocks.1.attn.q"].write, SharedTap))


@pytest.mark.parametrize("name", ["zoo:gpt2", "zoo:gpt_neox"])
def test_they_agree_on_trained_models(library: str, name: str) -> None:
    model = load(name)
    found = compare(model, open_backend(library, model))
    assert max(agreement.difference for agreement in found) < 2e-6
    assert all(agreement.holds for agreement in found)


@pytest.mark.parametrize("make", [own_models.GRULanguageModel, own_models.stack, own_models.TorchEncoder])
def test_models_of_the_users_own(library: str, make: Any) -> None:
    model = wrap(own_models.build(make))
    if library == "transformer_lens":
        with pytest.raises(BackendUnavailable, match="opens models of transformers only"):
            open_backend(library, model)
    else:
        found = compare(model, open_backend(library, model))
        assert [agreement.describe() for agreement in found if not agreement.holds] == []
        assert {agreement.kind for agreement in found} == {"capture", "edit"}


def test_a_difference_is_seen(library: str) -> None:
    model = wrap(tiny.build("gpt2"))
    backend = open_backend(library, model)
    with torch.no_grad():
        model.module.transformer.h[1].mlp.c_proj.bias.add_(0.01)
    wrong = {agreement.site for agreement in compare(model, backend, kinds=["capture"]) if not agreement.holds}
    assert "blocks.1.mlp.out" in wrong
    assert "blocks.1.resid_pre" not in wrong


def everything_holds(model: Model, like: Model) -> None:
    """All proofs of a wrapped object hold, and it is the model that it was made of."""
    ids = tiny.token_ids()
    sites = [site for site in like.anatomy.sites if model.has(site)]
    assert len(sites) == len(like.anatomy.sites)
    ours, theirs = like.trace(ids, read=sites), model.trace(ids, read=sites)
    for site in sites:
        torch.testing.assert_close(theirs[site], ours[site], atol=1e-4, rtol=1e-4, msg=site)
    assert [proof.describe() for proof in model.anatomy.proofs if not proof.holds] == []
    change = {"blocks.1.attn.out": edits.zero()}
    torch.testing.assert_close(
        model.trace(ids, write=change).logits, like.trace(ids, write=change).logits, atol=1e-4, rtol=1e-4
    )
    twin = next(twins(model, n=1))
    assert (twin.trace(ids).logits - model.trace(ids).logits).abs().max() > 0.01
    model.verify_unchanged()


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "llama"])
def test_a_transformer_bridge_is_wrapped(architecture: str) -> None:
    module = tiny.build(architecture)
    everything_holds(wrap(bridge(copy.deepcopy(module))), like=wrap(module))


def test_a_bridge_with_folded_weights_is_the_model_that_it_has_become() -> None:
    module = tiny.build("gpt2")
    folded = bridge(copy.deepcopy(module))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folded.enable_compatibility_mode(disable_warnings=True)
    model, ids = wrap(folded), tiny.token_ids()
    with torch.no_grad():
        expected, plain = folded(ids), module(ids).logits
    torch.testing.assert_close(model.trace(ids).logits, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(expected, plain, atol=1e-3), "its logits are centred"
    torch.testing.assert_close(expected.log_softmax(-1), plain.log_softmax(-1), atol=1e-4, rtol=1e-4)
    model.trace(ids, read=list(model.anatomy.sites))
    assert [proof.describe() for proof in model.anatomy.proofs if not proof.holds] == []


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "mamba2"])
def test_an_nnsight_model_is_wrapped(architecture: str) -> None:
    module = tiny.build(architecture)
    if architecture != "mamba2":
        everything_holds(wrap(sight(copy.deepcopy(module))), like=wrap(module))
    else:
        model = wrap(sight(module))
        assert model.anatomy.has("blocks.0.ssm.out")
        assert [proof.describe() for proof in model.anatomy.proofs if not proof.holds] == []
