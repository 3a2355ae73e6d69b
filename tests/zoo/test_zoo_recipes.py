"""The recipes: every architecture builds as four blocks with what is peculiar to it, and all of them fit the budget."""

from __future__ import annotations

from functools import cache

import pytest

from interp_assert import wrap
from interp_fixtures.zoo.recipes import RECIPES
from interp_fixtures.zoo.training import untrained
from interp_fixtures.zoo.vocabulary import vocabulary

BUDGET = 25e6
"""Bytes of fp16 weights, checkpoints included."""
ARCHITECTURES = sorted({recipe.architecture for recipe in RECIPES.values()})


@cache
def model(architecture):
    return untrained(next(r for r in RECIPES.values() if r.architecture == architecture)).eval()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_builds_small_with_four_blocks_and_a_tied_head(architecture):
    built = model(architecture)
    assert built.config.model_type == architecture
    shapes = [tuple(p.shape) for p in built.parameters()]
    assert shapes.count((len(vocabulary()), 64)) == 1, "the embedding is the head"
    anatomy = wrap(built).anatomy
    assert (anatomy.n_blocks, anatomy.d_model) == (4, 64)


def test_everything_that_ships_fits():
    sizes = {name: sum(p.numel() for p in model(r.architecture).parameters()) for name, r in RECIPES.items()}
    assert sum(2 * sizes[name] * (1 + len(r.checkpoints)) for name, r in RECIPES.items()) < BUDGET


def test_six_architectures_have_seven_checkpoints_or_more():
    kept = {r.architecture: r.checkpoints for r in RECIPES.values() if r.checkpoints}
    assert len(kept) >= 6
    for architecture, steps in kept.items():
        assert len(steps) >= 7, architecture
        assert list(steps) == sorted(steps)
        assert steps[-1] < RECIPES[architecture].steps


def test_what_is_peculiar_to_each_is_there():
    settings = {architecture: model(architecture).config for architecture in ARCHITECTURES}
    assert settings["llama"].num_attention_heads == 2 * settings["llama"].num_key_value_heads
    assert settings["gemma2"].final_logit_softcapping
    assert settings["gemma2"].attn_logit_softcapping
    assert set(settings["gemma2"].layer_types) == {"sliding_attention", "full_attention"}
    assert settings["rwkv"].rescale_every == 0
    assert settings["zamba2"].layers_block_type.count("hybrid") == 2
    assert set(settings["qwen3_next"].layer_types) == {"linear_attention", "full_attention"}
    names = {architecture: [name for name, _ in model(architecture).named_modules()] for architecture in ARCHITECTURES}
    assert any(name.endswith("q_norm") for name in names["qwen3"])
    assert any(name.endswith("post_feedforward_layernorm") for name in names["gemma2"])
    assert {"mamba", "self_attn"} <= {name.rpartition(".")[2] for name in names["falcon_h1"]}
    assert any(name.endswith("rg_lru") for name in names["recurrent_gemma"])


def test_negatives_differ_from_their_model_by_one_thing():
    assert not RECIPES["gpt2-no-induction"].learns_induction
    assert RECIPES["gpt2"].learns_induction
    assert not RECIPES["gpt2-tuned-forgot"].learns_induction
    assert all("claims" in phase.spoiled for phase in RECIPES["gpt2-no-claims"].phases)
    assert RECIPES["random"].steps == 0
    assert {r.config for r in RECIPES.values() if r.architecture == "gpt2"} == {RECIPES["gpt2"].config}


def test_what_is_tuned_comes_after_its_base():
    order = list(RECIPES)
    for name, recipe in RECIPES.items():
        if recipe.base:
            assert order.index(recipe.base) < order.index(name)
