"""Directories of coders: what is saved comes back, what SAELens writes is read, what is damaged is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from interp_assert.coders import Coder, fit_coders, load_coder, save_coder
from interp_assert.coders.disk import CONFIG, WEIGHTS, BadCoder
from interp_assert.coders.jumprelu import JumpReluCoder
from interp_assert.errors import UsageProblem

from .readers import quick, sparse_sums, stream_of
from .test_training import atoms

X = sparse_sums(atoms(), 3, 300) + 1.0


def trained(kind: str) -> Coder:
    if kind == "jumprelu":
        coder = JumpReluCoder((20,), 30)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in coder.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
            coder.threshold.abs_()
        return coder.requires_grad_(False)
    shape = (5, 4) if kind == "rank1" else (20,)
    chosen = {} if kind == "relu" else {"k": 3}
    return fit_coders(stream_of(X, shape=shape), [quick(20, kind, d_sae=30, steps=20, seed=2, **chosen)])[0]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_coder(trained("topk"), tmp_path / "coder")


def change(directory: Path, **entries: Any) -> None:
    config = json.loads((directory / CONFIG).read_text())
    for name, value in entries.items():
        config.pop(name, None)
        if value is not None:
            config[name] = value
    (directory / CONFIG).write_text(json.dumps(config))


def rewrite(directory: Path, **tensors: torch.Tensor | None) -> None:
    kept = {**load_file(directory / WEIGHTS), **tensors}
    save_file({name: tensor for name, tensor in kept.items() if tensor is not None}, directory / WEIGHTS)


@pytest.mark.parametrize("kind", ["topk", "relu", "jumprelu", "rank1"])
def test_what_is_saved_comes_back(kind: str, tmp_path: Path) -> None:
    coder = trained(kind)
    loaded = load_coder(save_coder(coder, tmp_path / "deep" / "coder"))
    assert type(loaded) is type(coder)
    assert loaded.settings() == coder.settings()
    assert loaded.origin == coder.origin
    assert torch.equal(loaded(X), coder(X))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_the_files_are_as_saelens_wants_them(saved: Path) -> None:
    config = json.loads((saved / CONFIG).read_text())
    assert (config["architecture"], config["d_in"], config["d_sae"], config["k"]) == ("topk", 20, 30, 3)
    assert config["apply_b_dec_to_input"] is True
    assert config["normalize_activations"] == "none"
    assert int(config["metadata"]["sae_lens_version"].split(".")[0]) >= 6
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(saved / WEIGHTS).items()}
    assert shapes == {"W_enc": (20, 30), "b_enc": (30,), "W_dec": (30, 20), "b_dec": (20,)}


class TestWhatSaelensWrites:
    def directory(self, tmp_path: Path, architecture: str, **config: Any) -> tuple[Path, dict[str, torch.Tensor]]:
        generator = torch.Generator().manual_seed(1)
        shapes = {"W_enc": (20, 30), "b_enc": (30,), "W_dec": (30, 20), "b_dec": (20,)}
        if architecture == "jumprelu":
            shapes["threshold"] = (30,)
        tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        settings = {
            "architecture": architecture, "d_in": 20, "d_sae": 30, "dtype": "float32", "device": "cpu",
            "metadata": {"sae_lens_version": "6.54.12", "hook_name": "blocks.0.hook_resid_post"}, **config,
        }  # fmt: skip
        (tmp_path / CONFIG).write_text(json.dumps(settings))
        save_file(tensors, tmp_path / WEIGHTS)
        return tmp_path, tensors

    @pytest.mark.parametrize("subtract", [True, False])
    @pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
    def test_reconstructs_as_its_definition(self, tmp_path: Path, architecture: str, subtract: bool) -> None:
        extra = {"k": 4} if architecture == "topk" else {}
        directory, t = self.directory(tmp_path, architecture, apply_b_dec_to_input=subtract, **extra)
        before = (X - t["b_dec"] * subtract) @ t["W_enc"] + t["b_enc"]
        code = before.relu()
        if architecture == "topk":
            kept, index = before.topk(4, -1)
            code = torch.zeros_like(before).scatter(-1, index, kept.relu())
        if architecture == "jumprelu":
            code = before.relu() * (before > t["threshold"])
        torch.testing.assert_close(load_coder(directory)(X), code @ t["W_dec"] + t["b_dec"], rtol=1e-5, atol=1e-4)

    def test_codes_that_are_scaled_by_the_decoder_norm(self, tmp_path: Path) -> None:
        directory, t = self.directory(tmp_path, "topk", k=4, rescale_acts_by_decoder_norm=True)
        norm = t["W_dec"].norm(dim=-1)
        kept, index = (((X - t["b_dec"]) @ t["W_enc"] + t["b_enc"]) * norm).topk(4, -1)
        code = torch.zeros(len(X), 30).scatter(-1, index, kept.relu()) / norm
        torch.testing.assert_close(load_coder(directory)(X), code @ t["W_dec"] + t["b_dec"], rtol=1e-5, atol=1e-4)

    def test_half_precision_is_read_as_float32(self, tmp_path: Path) -> None:
        directory, tensors = self.directory(tmp_path, "standard", dtype="bfloat16")
        save_file({name: tensor.bfloat16() for name, tensor in tensors.items()}, directory / WEIGHTS)
        assert load_coder(directory).b_dec.dtype == torch.float32


class TestDamaged:
    @pytest.mark.parametrize(
        ("entries", "match"),
        [
            ({"k": None}, "k is missing, which a topk coder is nothing without"),
            ({"k": 0}, "k=0 must be a whole number of at least 1"),
            ({"k": 31}, "k=31 of d_sae=30"),
            ({"k": "3"}, "k='3'"),
            ({"d_in": None}, "d_in is missing"),
            ({"d_in": 21}, r"W_enc has shape \(20, 30\); cfg.json says \(21, 30\)"),
            ({"architecture": "gated"}, "architecture 'gated' is not one of standard, topk, jumprelu"),
            ({"architecture": None}, "architecture None"),
            ({"architecture": "jumprelu"}, "lacks threshold"),
            ({"normalize_activations": "layer_norm"}, "normalize_activations='layer_norm' scales every input anew"),
            ({"metadata": {"interp_assert": {}}}, "does not say how the coder was trained"),
        ],
    )
    def test_settings(self, saved: Path, entries: dict[str, Any], match: str) -> None:
        change(saved, **entries)
        with pytest.raises(BadCoder, match=match):
            load_coder(saved)

    def test_a_scale_that_saelens_ignores_is_ignored(self, saved: Path) -> None:
        change(saved, normalize_activations="expected_average_only_in")
        load_coder(saved)

    @pytest.mark.parametrize(
        ("tensors", "match"),
        [
            ({"b_enc": None}, "lacks b_enc; it should have W_enc, b_enc, W_dec, b_dec"),
            ({"W_skip": torch.zeros(2)}, "has W_skip, which this architecture does not use"),
            ({"b_dec": torch.zeros(21)}, r"b_dec has shape \(21,\); cfg.json says \(20,\)"),
            ({"b_dec": torch.full((20,), float("nan"))}, "b_dec holds numbers that are not finite"),
        ],
    )
    def test_tensors(self, saved: Path, tensors: dict[str, torch.Tensor | None], match: str) -> None:
        rewrite(saved, **tensors)
        with pytest.raises(BadCoder, match=match):
            load_coder(saved)

    def test_truncated_weights(self, saved: Path) -> None:
        (saved / WEIGHTS).write_bytes((saved / WEIGHTS).read_bytes()[:500])
        with pytest.raises(BadCoder, match=r"sae_weights.safetensors cannot be read: .*; it may be truncated"):
            load_coder(saved)

    @pytest.mark.parametrize("text", ["{", "[]"])
    def test_unreadable_settings(self, saved: Path, text: str) -> None:
        (saved / CONFIG).write_text(text)
        with pytest.raises(BadCoder, match=r"cfg.json (cannot be read|holds list)"):
            load_coder(saved)

    def test_missing_files(self, saved: Path) -> None:
        (saved / WEIGHTS).unlink()
        with pytest.raises(BadCoder, match=r"sae_weights.safetensors is missing"):
            load_coder(saved)
        with pytest.raises(BadCoder, match="no such directory"):
            load_coder(saved / "nowhere")


def test_a_kind_without_a_form_on_disk(tmp_path: Path) -> None:
    coder = trained("topk")
    type(coder)
    coder.__class__ = type("Other", (type(coder),), {"kind": "other"})
    with pytest.raises(UsageProblem, match="coders of kind 'other' have no form on disk"):
        save_coder(coder, tmp_path)
