"""The builder itself: small and seeded, for every type that text alone runs."""

from __future__ import annotations

import pytest
import torch
import transformers
from packaging.version import Version
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from .builder import TYPES, build, prompt, tiny_config
from .settings import NOT_TEXT_ONLY, SETTINGS
from .sizes import size_of


def test_every_type_of_the_table_is_built_or_excused() -> None:
    assert set(TYPES) | set(NOT_TEXT_ONLY) >= set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert not set(TYPES) & set(NOT_TEXT_ONLY)


def test_the_same_seed_builds_the_same_model_and_another_one_another() -> None:
    first, again, other = (build("gpt2", seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_settings_reach_into_a_config() -> None:
    assert tiny_config("llama", num_hidden_layers=2).num_hidden_layers == 2
    assert tiny_config("llama").vocab_size == size_of("vocab_size")
    assert size_of("type_vocab_size") is None


def test_prompts_hold_no_special_token() -> None:
    ids = prompt(64, 64)
    special = {tiny_config(name).bos_token_id for name in ("llama", "gpt2", "opt")}
    assert not special & set(ids.unique().tolist())


@pytest.mark.parametrize("model_type", sorted(set(NOT_TEXT_ONLY) & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)))
def test_what_is_excused_really_does_not_run_on_text(model_type: str) -> None:
    if Version(transformers.__version__) < Version("5.23"):
        pytest.skip("observed on transformers 5.23")
    assert model_type not in SETTINGS
    with pytest.raises(Exception, match=r"layer types|must be 0|inputs_embeds|has no attribute"):
        build(model_type)(input_ids=prompt())
