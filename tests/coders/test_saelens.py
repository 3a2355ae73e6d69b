"""SAELens itself: what is saved here loads there and gives the same reconstructions, and the other way round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp_assert.coders import load_coder, save_coder
from interp_assert.coders.disk import BadCoder
from interp_assert.coders.metrics import VarianceSums

from .test_disk import X, trained

sae_lens = pytest.importorskip(
    "sae_lens", reason="needs the extra sae-lens, in an environment of its own: it wants a TransformerLens before 4"
)
D, F = X.shape[1], 30


def assert_same(ours: Any, theirs: Any) -> None:
    """The same latents, as active; the same reconstructions but for the order of float32 sums."""
    with torch.no_grad():
        code, other = ours.encode(X).dense(), theirs.encode(X)
        assert torch.equal(code > 0, other > 0)
        assert 0 < int((code > 0).sum()) < code.numel()
        torch.testing.assert_close(code, other, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours(X), theirs(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["topk", "relu", "jumprelu"])
def test_ours_loads_there(kind: str, tmp_path: Path) -> None:
    coder = trained(kind)
    theirs = sae_lens.SAE.load_from_disk(save_coder(coder, tmp_path))
    assert theirs.cfg.architecture() == {"topk": "topk", "relu": "standard", "jumprelu": "jumprelu"}[kind]
    assert_same(coder, theirs)


def test_one_that_it_does_not_know_is_refused_there(tmp_path: Path) -> None:
    with pytest.raises((KeyError, ValueError), match="rank1"):
        sae_lens.SAE.load_from_disk(save_coder(trained("rank1"), tmp_path))


def at_random(sae: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)


CONFIGS = {
    "standard": ("StandardSAE", {}),
    "standard, b_dec not subtracted": ("StandardSAE", {"apply_b_dec_to_input": False}),
    "topk": ("TopKSAE", {"k": 4}),
    "topk by decoder norm": ("TopKSAE", {"k": 4, "rescale_acts_by_decoder_norm": True}),
    "jumprelu": ("JumpReLUSAE", {}),
    "standard, inputs standardised": ("StandardSAE", {"normalize_activations": "layer_norm"}),
    "topk, inputs of one norm": ("TopKSAE", {"k": 4, "normalize_activations": "constant_norm_rescale"}),
    "jumprelu, inputs standardised": ("JumpReLUSAE", {"normalize_activations": "layer_norm"}),
    "standard in half precision": ("StandardSAE", {"dtype": "float16"}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_theirs_loads_here(name: str, tmp_path: Path) -> None:
    made, extra = CONFIGS[name]
    theirs = getattr(sae_lens, made)(getattr(sae_lens, f"{made}Config")(d_in=D, d_sae=F, **extra))
    at_random(theirs)
    theirs.save_model(tmp_path)
    theirs = sae_lens.SAE.load_from_disk(tmp_path, dtype="float32")
    ours = load_coder(tmp_path)
    if "rescale_acts_by_decoder_norm" not in extra:
        assert_same(ours, theirs)
        return
    torch.testing.assert_close(ours(X), theirs(X), rtol=1e-5, atol=1e-5)  # activations are in another unit there


OLD = {
    "relu": {"activation_fn_str": "relu", "normalize_activations": False},
    "topk": {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}},
    "scaled": {"activation_fn_str": "relu", "normalize_activations": True, "apply_b_dec_to_input": False},
}


@pytest.mark.parametrize("name", OLD)
def test_one_from_before_version_6_is_taken_for_the_same(name: str, tmp_path: Path) -> None:
    theirs = sae_lens.StandardSAE(sae_lens.StandardSAEConfig(d_in=D, d_sae=F))
    at_random(theirs)
    theirs.save_model(tmp_path)
    old = {"d_in": D, "d_sae": F, "dtype": "torch.float32", "hook_point": "blocks.1.hook_resid_pre", **OLD[name]}
    (tmp_path / "cfg.json").write_text(json.dumps(old))
    assert_same(load_coder(tmp_path), sae_lens.SAE.load_from_disk(tmp_path))


def test_sites_have_their_names_there(tmp_path: Path) -> None:
    coder = trained("topk")
    coder.site = "blocks.1.resid_post"
    theirs = sae_lens.SAE.load_from_disk(save_coder(coder, tmp_path))
    assert theirs.cfg.metadata.hook_name == "blocks.1.hook_resid_post"


def test_a_batchtopk_one_loads_with_the_threshold_that_it_ended_with(tmp_path: Path) -> None:
    config = sae_lens.BatchTopKTrainingSAEConfig(d_in=D, d_sae=F, k=4)
    theirs = sae_lens.BatchTopKTrainingSAE(config)
    at_random(theirs)
    with torch.no_grad():
        theirs.topk_threshold.fill_(0.8)
    theirs.save_inference_model(tmp_path)
    assert_same(load_coder(tmp_path), sae_lens.SAE.load_from_disk(tmp_path))


def test_what_is_not_read_yet_is_refused(tmp_path: Path) -> None:
    sae_lens.GatedSAE(sae_lens.GatedSAEConfig(d_in=D, d_sae=F)).save_model(tmp_path)
    with pytest.raises(BadCoder, match="architecture 'gated' is not one of standard, topk, jumprelu"):
        load_coder(tmp_path)


def test_variance_explained_is_the_same_figure() -> None:
    evals = pytest.importorskip("sae_lens.evals")
    coder, calculator = trained("topk"), evals.ExplainedVarianceCalculator()
    with torch.no_grad():
        for part in X.split(70):
            calculator.add_batch(coder(part), part)
        found = VarianceSums.of(X, coder(X), torch.from_numpy(np.zeros(D))).about_own_mean
    assert found == pytest.approx(calculator.compute(), abs=1e-5)
