"""Directories of architectures that their authors registered: opened by id like any other, and refused as clearly."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from interp_assert import Family, load, register_family
from interp_assert.errors import ModelBroken, ModelRefused, UsageProblem
from interp_assert.models import edits, preflight, twins
from interp_assert.models.families import registry

from . import own_models as own
from .own_models import VOCAB, build


@pytest.fixture(autouse=True)
def own_registrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    monkeypatch.setattr(registry, "_supplied", dict(registry._supplied))


def register() -> None:
    register_family(own.GRULanguageModel, model_type="gru_lm")(lambda module: Family())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    module = build(own.GRULanguageModel)
    return save(module, tmp_path / "gru", {"model_type": "gru_lm", "vocab_size": VOCAB, "width": own.D})


def save(module: torch.nn.Module, directory: Path, config: dict[str, Any]) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    save_file(module.state_dict(), directory / "model.safetensors")
    return directory


def test_a_registered_model_opens_by_its_directory(directory: Path) -> None:
    with pytest.raises(ModelRefused, match=r"'gru_lm' is unknown.*your own.*register_family\(..., model_type='gru_lm'"):
        load(str(directory))
    register()
    preflight(str(directory))
    state = torch.random.get_rng_state()
    model = load(f"mine={directory}")
    assert not model.opened
    assert model.config.model_type == model.architecture == "gru_lm"
    assert not model.opened, "the config needs no weights"
    assert (model.vocab_size, model.max_positions, model.class_name) == (VOCAB, None, "GRULanguageModel")
    assert torch.equal(torch.random.get_rng_state(), state)
    ids = torch.arange(12)[None]
    expected = build(own.GRULanguageModel)(ids)
    assert torch.equal(model.trace(ids).logits, expected)
    assert not torch.equal(model.trace(ids, write={"blocks.0.resid_post": edits.zero()}).logits, expected)
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    assert torch.__version__.startswith(model.provenance()["versions"]["torch"])
    assert torch.isfinite(next(twins(model, n=1)).trace(ids).logits).all()
    model.verify_unchanged()


def test_it_opens_in_another_number_format(directory: Path) -> None:
    register()
    assert load(str(directory), dtype="bfloat16").dtype == torch.bfloat16


def test_weights_that_do_not_fit(directory: Path) -> None:
    register()
    config = directory / "config.json"
    config.write_text(json.dumps({"model_type": "gru_lm", "vocab_size": VOCAB, "width": own.D, "layers": 4}))
    with pytest.raises(ModelBroken, match=r"no file has recurrences.3.bias_hh_l0"):
        _ = load(str(directory)).module
    config.write_text(json.dumps({"model_type": "gru_lm", "vocab_size": VOCAB, "width": own.D, "layers": 2}))
    with pytest.raises(ModelBroken, match=r"no place for recurrences.2.bias_hh_l0|more layers than config.json builds"):
        _ = load(str(directory)).module
    config.write_text(json.dumps({"model_type": "gru_lm", "vocab_size": VOCAB, "width": own.D // 2}))
    with pytest.raises(ModelBroken, match=r"wrong shapes: embed.weight \(60, 32\) for \(60, 16\)"):
        _ = load(str(directory)).module
    config.write_text(json.dumps({"model_type": "gru_lm", "vocab_size": VOCAB, "breadth": own.D}))
    with pytest.raises(ModelBroken, match=r"cannot be built from .*config.json.*'breadth'.*build="):
        _ = load(str(directory)).module


def test_a_class_that_wants_its_config_in_another_form(tmp_path: Path) -> None:
    class Configured(own.Stack):
        def __init__(self, config: Any) -> None:
            super().__init__([own.HandMadeBlock() for _ in range(config.depth)])
            self.unembed.weight = self.tokens.weight
            self.config = config

    module = build(lambda: Configured(SimpleNamespace(depth=2)))
    directory = tmp_path / "configured"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"model_type": "configured", "depth": 2, "bos_token_id": 3}))
    state = module.state_dict()
    del state["unembed.weight"]  # tied, so its file has it once
    save_file(state, directory / "model.safetensors")
    register_family(Configured, model_type="configured", build=lambda config: Configured(SimpleNamespace(**config)))(
        lambda module: Family()
    )
    model = load(str(directory))
    ids = torch.arange(12)[None]
    assert torch.equal(model.trace(ids).logits, module(ids))
    assert model.config.bos_token_id == 3
    assert model.max_positions == own.CONTEXT


def test_a_package_may_promise_an_architecture(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    promise = SimpleNamespace(name="gru_lm", value="package.gru", load=lambda: loaded.append(1))
    monkeypatch.setattr(registry, "entry_points", lambda group: [promise] if group == registry.GROUP else [])
    preflight(str(directory))
    assert not loaded, "nothing is imported before the model is opened"
    with pytest.raises(ModelRefused, match=r"entry point package.gru promised .* and registered none"):
        _ = load(str(directory)).module
    promise.load = register
    assert load(str(directory)).anatomy.n_blocks == own.LAYERS


def test_a_class_of_transformers_kind(tmp_path: Path) -> None:
    class OddConfig(LlamaConfig):
        model_type = "odd_llama"

    class OddForCausalLM(LlamaForCausalLM):
        config_class = OddConfig

    register_family(OddForCausalLM, model_type="odd_llama")(lambda module: Family())
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    OddForCausalLM(OddConfig(vocab_size=VOCAB, **sizes)).save_pretrained(tmp_path / "odd")
    model = load(str(tmp_path / "odd"))
    assert (model.architecture, model.class_name, model.vocab_size) == ("odd_llama", "OddForCausalLM", VOCAB)
    assert model.anatomy.n_blocks == 2

    class Mismatched(OddForCausalLM):
        """Registered for a model_type that its config_class is not of."""

    register_family(Mismatched, model_type="even_llama")(lambda module: Family())
    (tmp_path / "odd" / "config.json").write_text(json.dumps({"model_type": "even_llama", **sizes}))
    with pytest.raises(UsageProblem, match=r"Mismatched cannot open directories of model_type 'even_llama'"):
        _ = load(str(tmp_path / "odd")).module


def test_names_that_are_taken() -> None:
    register()
    register()  # as a notebook does that runs its cell again
    with pytest.raises(UsageProblem, match=r"'gru_lm' belongs to .*GRULanguageModel already"):
        register_family(own.Stack, model_type="gru_lm")
    with pytest.raises(UsageProblem, match="'llama' is an architecture of transformers"):
        register_family(own.Stack, model_type="llama")
    with pytest.raises(UsageProblem, match="needs the class itself"):
        register_family("Stack", model_type="stack")
