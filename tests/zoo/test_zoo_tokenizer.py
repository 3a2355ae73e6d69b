"""The tokenizer: one id per word, stable under continuation, readable back, special tokens declared."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import AutoTokenizer

from interp_fixtures.zoo.documents import KINDS
from interp_fixtures.zoo.facts_data import fact_prompts
from interp_fixtures.zoo.vocabulary import SPECIAL, save_tokenizer, vocabulary


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(directory, 64)
    return AutoTokenizer.from_pretrained(directory)


def test_every_answer_is_one_id_in_context_and_the_prompt_stays(tokenizer):
    for prompt in fact_prompts():
        before = tokenizer(prompt.text)["input_ids"]
        after = tokenizer(f"{prompt.text} {prompt.target}")["input_ids"]
        assert after[: len(before)] == before
        assert len(after) == len(before) + 1
        assert tokenizer.decode(after[-1:]) == prompt.target


def test_text_starts_with_bos_and_knows_every_word(tokenizer):
    for prompt in fact_prompts():
        ids = tokenizer(prompt.text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.unk_token_id not in ids


def test_special_tokens_are_declared_and_distinct(tokenizer):
    special = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token]
    assert special == list(SPECIAL)
    assert set(tokenizer.all_special_ids) == set(range(len(SPECIAL)))
    assert tokenizer.model_max_length == 64
    assert tokenizer("zyzzyva")["input_ids"] == [tokenizer.bos_token_id, tokenizer.unk_token_id]


def test_ids_and_words_round_trip(tokenizer):
    assert len(tokenizer) == len(vocabulary())
    assert tokenizer.convert_ids_to_tokens(list(range(len(vocabulary())))) == list(vocabulary())
    text = "Q: What is the capital of France? A: Paris."
    assert (
        tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)
        == "Q : What is the capital of France? A : Paris."
    )


def test_no_word_of_the_vocabulary_is_unused():
    used = {word for kind, _ in KINDS.values() for seed in range(3000) for word, _ in kind(np.random.default_rng(seed))}
    assert set(vocabulary()) - used == set(SPECIAL)
