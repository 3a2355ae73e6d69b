"""The zoo's GRU, an architecture that registers itself as a user's own would: found, trained, saved and opened; trained
likewise, RWKV-7.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import interp_assert
from interp_assert import load, wrap
from interp_assert.models import edits, twins
from interp_assert.models.families.registry import GROUP
from interp_fixtures.zoo import building, manifest, training
from interp_fixtures.zoo.architectures import gru
from interp_fixtures.zoo.architectures.gru import GRUConfig, GRULanguageModel
from interp_fixtures.zoo.card import write_card
from interp_fixtures.zoo.corpus import Phase
from interp_fixtures.zoo.recipes import Recipe

VOCAB, LAYERS, WIDTH = 60, 3, 32
PHASES = (Phase(10, 16, 4, 0.3, 1.0), Phase(12, 24, 4, 0.5, 1.0))
COMMON = (("hidden_size", 16), ("num_hidden_layers", 2), ("initializer_range", 0.08), ("tie_word_embeddings", True))
RECIPES = {
    "gru": Recipe("gru", "zoo_gru", "a GRU", COMMON, PHASES, checkpoints=(7,), previous_token_steps=8),
    "rwkv7": Recipe("rwkv7", "zoo_rwkv7", "RWKV-7", (*COMMON, ("head_dim", 8)), PHASES, previous_token_steps=8),
}


def build(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GRULanguageModel(GRUConfig(VOCAB, WIDTH, LAYERS, initializer_range=0.3, **options)).eval()


def random_ids(rows, length):
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(1))


def test_it_needs_nothing_but_the_documented_registration():
    tree = ast.parse(inspect.getsource(gru))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    ours = {alias.name for node in imports if getattr(node, "module", "") == "interp_assert" for alias in node.names}
    assert ours == {"Family", "register_family"}
    assert ours <= set(interp_assert.__all__)
    rooms = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert rooms == {"__future__", "dataclasses", "typing", "torch", "interp_assert"}


@pytest.mark.parametrize("name", ["gru", "rwkv7"])
def test_load_finds_it_without_an_import_of_the_zoo(name):
    module = f"interp_fixtures.zoo.architectures.{name}"
    stated = f'[project.entry-points."{GROUP}"]'
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'zoo_{name} = "{module}"' in text.partition(stated)[2].partition("[")[0]
    promised = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    if not promised:
        pytest.skip("interp-assert was installed before it had these entry points: install it again")
    assert promised[f"zoo_{name}"] == module


def test_its_anatomy_is_proven_with_the_states():
    module = build()
    model, ids = wrap(module), random_ids(2, 9)
    assert (model.architecture, model.vocab_size, model.max_positions) == ("zoo_gru", VOCAB, None)
    assert [block.kinds for block in model.anatomy.blocks] == [("ssm",)] * LAYERS
    for site in ("embed", "final_norm", "blocks.*.ssm.out", "blocks.*.state", "blocks.*.resid_post"):
        assert model.has(site)
    traced = model.trace(ids, [f"blocks.*.{part}" for part in ("state", "ssm.out", "resid_pre", "resid_post")])
    for index in range(LAYERS):
        out = traced[f"blocks.{index}.ssm.out"]
        assert (traced[f"blocks.{index}.state"].reshape(out.shape) - out).abs().max() < 1e-5
        total = traced[f"blocks.{index}.resid_pre"] + out
        assert torch.equal(traced[f"blocks.{index}.resid_post"], total)
    edited = model.trace(ids, write={"blocks.1.state": edits.at(4, edits.zero())})
    changed = (edited.logits - traced.logits).abs().amax((0, 2))
    assert changed[:4].max() < 1e-5
    assert changed[4:].min() > 1e-4


def test_its_twins_are_initialised_as_it_is():
    model, ids = wrap(build(tie_word_embeddings=True)), random_ids(2, 9)
    expected = model.trace(ids).logits
    twin = next(twins(model, n=1, scheme="init"))
    assert torch.isfinite(twin.trace(ids).logits).all()
    assert not torch.allclose(twin.trace(ids).logits, expected)
    weight = twin.module.blocks[0].gru.weight_hh_l0[:WIDTH]
    assert (weight @ weight.T - torch.eye(WIDTH)).abs().max() < 1e-5


@pytest.mark.parametrize("name", RECIPES)
def test_the_zoo_trains_and_saves_it_and_load_opens_it(name, tmp_path, monkeypatch):
    recipe = RECIPES[name]
    trainer = training.train(recipe, tmp_path / name, progress=False)
    saved = load_file(tmp_path / name / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float16}
    manifest.write_manifest([(name, recipe.steps)], tmp_path)
    monkeypatch.setattr(manifest, "WEIGHTS", tmp_path)
    model = load(f"zoo:{name}")
    assert model.config.model_type == recipe.architecture
    ids = model.tokenizer("The capital of France is", return_tensors="pt").input_ids
    trained = trainer.model.half().float().eval()
    with torch.no_grad():
        assert torch.equal(model.trace(ids).logits, building.logits_of(trained, ids))
    assert model.anatomy.n_blocks == 2
    assert model.has("blocks.*.state")
    if recipe.checkpoints:
        early = load(f"zoo:{name}@7").trace(ids).logits
        assert not torch.allclose(early, model.trace(ids).logits)


def test_training_lowers_its_loss():
    longer = replace(RECIPES["gru"], phases=(Phase(60, 16, 8, 0.0, 1.0),), warmup=5, previous_token_steps=0)
    trainer = training.Trainer(longer)
    losses = [trainer.advance() for _ in range(60)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_its_card_is_measured_like_any_other(tmp_path):
    recipe = RECIPES["gru"].cut(2)
    training.train(recipe, tmp_path, progress=False)
    figures = write_card(recipe, tmp_path)
    assert figures["parameters"] == sum(p.numel() for p in load(str(tmp_path)).module.parameters())
    assert len(figures["lens"]) in (0, 3), "a figure for each block and for the last, if it answers anything at all"
    assert all(0 <= ability["value"] <= 1 for ability in figures["abilities"])
