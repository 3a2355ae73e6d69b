"""Small tokenizers and model stand-ins for the tests of prompts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<unk>", "<bos>", "<eos>")


def metaspace_tokenizer(words: list[str], *, bos: bool = True, lowercase: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer whose word tokens carry the space in front, as in SentencePiece vocabularies."""
    vocabulary = {token: i for i, token in enumerate((*SPECIAL, *words))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    if lowercase:
        backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    backend.decoder = decoders.Metaspace()
    names = {"unk_token": "<unk>", "eos_token": "<eos>"} | ({"bos_token": "<bos>"} if bos else {})
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def stand_in(tokenizer: Any, vocab_size: int, **config: Any) -> Any:
    """What prompts need of a Model: its tokenizer, vocabulary and config."""
    return SimpleNamespace(id="stand-in", tokenizer=tokenizer, vocab_size=vocab_size, config=SimpleNamespace(**config))
