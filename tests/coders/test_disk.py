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
SAELENS = {"sae_lens_version": "6.0.0"}
"""metadata of a coder of which nobody knows how it was trained"""


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

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_other_precisions_are_read_as_float32(self, tmp_path: Path, dtype: torch.dtype) -> None:
        directory, tensors = self.directory(tmp_path, "standard", dtype=str(dtype).removeprefix("torch."))
        save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, directory / WEIGHTS)
        coder = load_coder(directory)
        assert coder.b_dec.dtype == torch.float32
        assert torch.equal(coder.b_dec, tensors["b_dec"].to(dtype).float())

    @pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
    @pytest.mark.parametrize("how", ["layer_norm", "constant_norm_rescale"])
    def test_inputs_that_are_scaled_one_by_one(self, tmp_path: Path, architecture: str, how: str) -> None:
        extra = {"k": 4} if architecture == "topk" else {}
        directory, _ = self.directory(tmp_path, architecture, normalize_activations=how, **extra)
        coder, plain = load_coder(directory), load_coder(directory)
        plain.normalises = "none"
        if how == "layer_norm":
            mean, unit = X.mean(-1, keepdim=True), X.std(-1, keepdim=True)
            expected = plain((X - mean) / (unit + 1e-5)) * unit + mean
        else:
            unit = X.norm(dim=-1, keepdim=True) / 20**0.5
            expected = plain(X / unit) * unit
        torch.testing.assert_close(coder(X), expected, rtol=1e-5, atol=1e-4)
        code, reconstructed = coder.coded(X)
        assert torch.equal(reconstructed, coder(X))
        assert code.firings().sum() == code.active() > 0
        again = load_coder(save_coder(coder, tmp_path / "again"))
        assert torch.equal(again(X), coder(X))

    def test_the_site_is_the_one_that_it_says(self, tmp_path: Path) -> None:
        metadata = {"sae_lens_version": "6.5.0", "hook_name": "blocks.1.attn.hook_z", "hook_head_index": 2}
        directory, _ = self.directory(tmp_path, "standard", metadata=metadata, reshape_activations="hook_z")
        coder = load_coder(directory)
        assert (coder.site, coder.head, coder.origin) == ("blocks.1.attn.hook_z", 2, None)
        metadata = json.loads((save_coder(coder, tmp_path / "again") / CONFIG).read_text())["metadata"]
        assert (metadata["hook_name"], metadata["hook_head_index"]) == ("blocks.1.attn.hook_z", 2)


BEFORE_6 = {
    "d_in": 20, "d_sae": 30, "dtype": "torch.float32", "device": "cpu", "hook_point": "blocks.1.hook_resid_pre",
    "hook_point_layer": 1, "b_dec_init_method": "geometric_median", "normalize_sae_decoder": False,
    "apply_b_dec_to_input": True, "l1_coefficient": 8e-5, "finetuning_scaling_factor": False,
}  # fmt: skip


class TestFromBeforeVersion6:
    """Settings at the top level, under other names; TopK said by the activation function; factors that are 1."""

    def directory(self, tmp_path: Path, *, remove: str = "", factor: float = 1.0, **config: Any) -> Path:
        generator = torch.Generator().manual_seed(1)
        shapes = {"W_enc": (20, 30), "b_enc": (30,), "W_dec": (30, 20), "b_dec": (20,)}
        tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        tensors["scaling_factor"] = torch.full((30,), factor)
        settings = {**BEFORE_6, **config}
        settings.pop(remove, None)
        (tmp_path / CONFIG).write_text(json.dumps(settings))
        save_file(tensors, tmp_path / WEIGHTS)
        return tmp_path

    def test_without_an_architecture_it_is_a_relu_one(self, tmp_path: Path) -> None:
        coder = load_coder(self.directory(tmp_path, activation_fn_str="relu", normalize_activations=True))
        assert (coder.kind, coder.site, coder.normalises) == ("relu", "blocks.1.hook_resid_pre", "none")

    @pytest.mark.parametrize("named", [{"architecture": "standard"}, {"architecture": "topk"}, {}])
    def test_topk_is_an_activation_function(self, tmp_path: Path, named: dict[str, str]) -> None:
        """Taken for a ReLU, as its architecture has it, it would have ten times the active latents."""
        directory = self.directory(tmp_path, activation_fn_str="topk", activation_fn_kwargs={"k": 3}, **named)
        coder = load_coder(directory)
        assert coder.settings()["k"] == 3
        assert coder.encode(X).active() <= 3 * len(X)

    @pytest.mark.parametrize(
        ("config", "match"),
        [
            ({"activation_fn_str": "topk"}, "k is missing, which a topk coder is nothing without"),
            ({"activation_fn_str": "tanh-relu"}, "activation_fn 'tanh-relu' is not one of relu, topk"),
            ({"activation_fn_str": "topk", "activation_fn_kwargs": [3]}, r"kwargs=\[3\] must be an object"),
            ({"factor": 0.5}, "scaling_factor is not 1 throughout; fold it into W_dec"),
            ({"finetuning_scaling_factor": True}, "finetuning_scaling_factor is true; fold the factors into W_dec"),
            ({"hook_point": 4}, "hook_name=4 must be a text"),
            ({"remove": "d_sae"}, "d_sae is missing"),
            ({"sae_lens_version": "new"}, "sae_lens_version='new' is no version"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, tmp_path: Path, config: dict[str, Any], match: str) -> None:
        with pytest.raises(BadCoder, match=match):
            load_coder(self.directory(tmp_path, **config))


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
            ({"architecture": ["topk"]}, r"architecture \['topk'\] is not one of"),
            ({"architecture": "jumprelu", "metadata": SAELENS}, "lacks threshold"),
            ({"architecture": "jumprelu"}, "its recipe is for kind='topk', d_sae=30 and k=3, the coder has kind='jump"),
            ({"k": 4}, "its recipe is for kind='topk', d_sae=30 and k=3"),
            ({"d_sae": 10**12, "metadata": SAELENS}, r"W_enc has shape \(20, 30\); cfg.json says \(20, 10{12}\)"),
            ({"d_sae": 10**18, "d_in": 10**18, "metadata": SAELENS}, "cfg.json: .*overflow"),
            ({"apply_b_dec_to_input": "false"}, "apply_b_dec_to_input='false' must be true or false"),
            ({"rescale_acts_by_decoder_norm": "no"}, "rescale_acts_by_decoder_norm='no' must be true or false"),
            ({"normalize_activations": "covariance_whitening"}, "fold it into the weights before saving them"),
            ({"normalize_activations": "unit"}, "normalize_activations='unit' is not one of none, constant_norm"),
            ({"reshape_activations": "transpose"}, "reshape_activations='transpose' is not one of none, hook_z"),
            ({"metadata": "6.0.0"}, "metadata='6.0.0' must be an object"),
            ({"metadata": {"sae_lens_version": 6}}, "sae_lens_version=6 is no version"),
            ({"metadata": {**SAELENS, "hook_name": 3}}, "hook_name=3 must be a text"),
            ({"metadata": {**SAELENS, "hook_head_index": "0"}}, "hook_head_index='0' must be a whole number"),
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
        ("entries", "match"),
        [
            ({"vectors": float("inf")}, "vectors=inf must be a whole number"),
            ({"loss": "nan"}, "loss='nan' must be a number"),
            ({"head": "x"}, "head='x' must be a whole number"),
            ({"documents": 4}, "documents=4 must be a text"),
            ({"site": None}, "site=None must be a text"),
            ({"recipe": {"kind": "topk", "d_sae": 30, "k": 3, "frozen_decoder": "yes"}}, "must be True or False"),
            ({"recipe": {"kind": "topk", "d_sae": 30, "k": 3, "colour": 1}}, "colour"),
            ({"recipe": []}, "does not say how the coder was trained"),
        ],
    )
    def test_how_it_was_trained(self, saved: Path, entries: dict[str, Any], match: str) -> None:
        metadata = json.loads((saved / CONFIG).read_text())["metadata"]
        metadata["interp_assert"] |= entries
        change(saved, metadata=metadata)
        with pytest.raises(BadCoder, match=match):
            load_coder(saved)

    def test_a_matrix_of_another_size(self, tmp_path: Path) -> None:
        directory = save_coder(trained("rank1"), tmp_path)
        change(directory, d_in=21)
        with pytest.raises(BadCoder, match=r"shape=\[5, 4\] is not that of matrices with d_in=21 numbers"):
            load_coder(directory)

    @pytest.mark.parametrize(
        ("tensors", "match"),
        [
            ({"b_dec": torch.full((20,), 1e300, dtype=torch.float64)}, "b_dec holds numbers that are not finite in fl"),
            ({"b_dec": torch.zeros(20, dtype=torch.int8)}, "b_dec is int8, not floating point"),
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

    @pytest.mark.parametrize("text", ["{", "[]", "", "null", "[" * 100_000], ids=["{", "[]", "empty", "null", "deep"])
    def test_unreadable_settings(self, saved: Path, text: str) -> None:
        (saved / CONFIG).write_text(text)
        with pytest.raises(BadCoder, match=r"cfg.json (cannot be read|holds (list|NoneType))"):
            load_coder(saved)

    def test_missing_files(self, saved: Path) -> None:
        (saved / WEIGHTS).unlink()
        with pytest.raises(BadCoder, match=r"sae_weights.safetensors is missing"):
            load_coder(saved)
        with pytest.raises(BadCoder, match="no such directory"):
            load_coder(saved / "nowhere")


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "coder").write_text("")
    with pytest.raises(UsageProblem, match="is a file; a coder is saved as a directory"):
        save_coder(trained("topk"), tmp_path / "coder")


def test_a_kind_without_a_form_on_disk(tmp_path: Path) -> None:
    coder = trained("topk")
    type(coder)
    coder.__class__ = type("Other", (type(coder),), {"kind": "other"})
    with pytest.raises(UsageProblem, match="coders of kind 'other' have no form on disk"):
        save_coder(coder, tmp_path)
