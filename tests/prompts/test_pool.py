"""Random prompts use ordinary ids only."""

from __future__ import annotations

from pathlib import Path

import pytest

from interp_assert.prompts.pool import MID_BAND_FROM, bos_id, token_pool

from .words import metaspace_tokenizer, stand_in


def test_special_byte_unused_blank_and_added_tokens_are_left_out() -> None:
    ordinary = ["▁the", "a", "▁city"]
    odd = ["<0x0A>", "<unused7>", "[unused12]", "<|reserved_special_token_3|>", "▁", "▁▁", "\ufffd"]
    tokenizer = metaspace_tokenizer([*odd, *ordinary])
    tokenizer.add_tokens(["added"])
    pool = token_pool(stand_in(tokenizer, 64))
    assert tokenizer.convert_ids_to_tokens(pool.ids.tolist()) == ordinary
    assert pool.bos == 1
    assert "BOS 1" in pool.note


def test_ids_beyond_the_tokenizer_or_the_embedding_are_left_out() -> None:
    tokenizer = metaspace_tokenizer([f"w{i}" for i in range(50)])
    assert token_pool(stand_in(tokenizer, 128)).ids.max() == 52, "rows that pad the embedding were never trained"
    assert token_pool(stand_in(tokenizer, 20)).ids.max() == 19


def test_large_vocabularies_use_the_mid_frequency_band() -> None:
    tokenizer = metaspace_tokenizer([f"w{i}" for i in range(10 * MID_BAND_FROM)])
    pool = token_pool(stand_in(tokenizer, 30_000))
    assert pool.ids[0] == 3 + 400
    assert pool.ids[-1] == 3 + 4000 - 1


def test_without_a_tokenizer_the_config_names_the_special_ids() -> None:
    pool = token_pool(stand_in(None, 10, bos_token_id=0, eos_token_id=[8, 9], pad_token_id=None))
    assert pool.ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert pool.bos == 0


@pytest.mark.parametrize("value", [None, 50256, -1, []])
def test_a_bos_outside_the_vocabulary_is_no_bos(value: object) -> None:
    assert bos_id(stand_in(None, 100, bos_token_id=value)) is None


def test_a_tokenizer_without_bos_overrules_the_config() -> None:
    assert bos_id(stand_in(metaspace_tokenizer(["a"], bos=False), 10, bos_token_id=1)) is None


@pytest.mark.shared
def test_the_pool_of_a_real_sentencepiece_vocabulary(shared: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shared / "models" / "stories260k")
    pool = token_pool(stand_in(tokenizer, 512))
    tokens = tokenizer.convert_ids_to_tokens(pool.ids.tolist())
    assert pool.bos == 1
    assert 240 < len(pool) < 254
    assert not [t for t in tokens if t.startswith("<") and len(t) > 1]
    assert "▁the" in tokens
