"""The token ids that random prompts are made of: mid-frequency, and none that the model never met in training."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["MID_BAND", "MID_BAND_FROM", "TokenPool", "as_ids", "bos_id", "special_ids", "token_pool"]

# Merge-based and unigram vocabularies are sorted by frequency, so a band of ids is a band of frequencies.
# On GPT-2 this band is 1,005 to 10,052, the range on which its induction heads were measured.
MID_BAND = (0.02, 0.20)
MID_BAND_FROM = 2000
"""Vocabularies with fewer eligible ids than this are used whole."""

_BYTE_FALLBACK = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_UNUSED = re.compile(r"[<\[]\|?(unused|reserved|extra_id|pad|dummy|madeup|placeholder)[\w.:+-]*\|?[>\]]", re.IGNORECASE)


@dataclass(frozen=True)
class TokenPool:
    """Ids that random prompts may use.

    Attributes:
        ids: int64, ascending, no duplicates.
        bos: the id that every prompt starts with, or None if neither tokenizer nor config defines one.
        note: how the pool was made, for the record.
    """

    ids: np.ndarray
    bos: int | None
    note: str

    def __len__(self) -> int:
        return len(self.ids)


def bos_id(model: Model) -> int | None:
    """The id in front of every prompt: the tokenizer's BOS; without a tokenizer, the config's; None if it lies
    outside the vocabulary.
    """
    source = model.config if model.tokenizer is None else model.tokenizer
    bos = next(iter(as_ids(getattr(source, "bos_token_id", None))), None)
    return int(bos) if bos is not None and 0 <= bos < int(model.vocab_size) else None


def special_ids(model: Model) -> set[int]:
    """The ids that stand for no text: BOS, EOS, padding, unknown and the like; without a tokenizer, the config's."""
    specials = _config_specials(model.config) if model.tokenizer is None else set(model.tokenizer.all_special_ids)
    return {int(i) for i in specials if 0 <= i < int(model.vocab_size)}


def token_pool(model: Model) -> TokenPool:
    """The pool of a model: special, added, byte-fallback, unused, blank and undecodable ids are left out.

    Without a tokenizer, every id of the embedding is taken except the config's special ids.
    """
    size = int(model.vocab_size)
    bos = bos_id(model)
    if model.tokenizer is None:
        special = _config_specials(model.config)
        band = _mid_band([i for i in range(size) if i not in special])
        origin = "no tokenizer: every id of the vocabulary but the config's special ids"
    else:
        band = _mid_band(_ordinary_ids(model.tokenizer, size))
        band = [i for i in band if _is_text(model.tokenizer, i)]
        origin = "tokenizer ids without special, added, byte-fallback, unused and blank ones"
    ids = np.asarray(band, dtype=np.int64)
    span = f"{len(ids)} ids from {ids[0]} to {ids[-1]}" if len(ids) else "no ids"
    return TokenPool(ids, bos, f"{origin}; {span}; BOS {'none' if bos is None else bos}")


def _mid_band(eligible: list[int]) -> list[int]:
    if len(eligible) < MID_BAND_FROM:
        return eligible
    low, high = (int(share * len(eligible)) for share in MID_BAND)
    return eligible[low:high]


def _ordinary_ids(tokenizer: Any, size: int) -> list[int]:
    excluded = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values())
    known = min(size, len(tokenizer))
    tokens = tokenizer.convert_ids_to_tokens(range(known))
    return [i for i, token in enumerate(tokens) if i not in excluded and _is_ordinary(token)]


def _is_ordinary(token: str | bytes | None) -> bool:
    if not token:
        return False
    text = token.decode("utf-8", "replace") if isinstance(token, bytes) else token
    return not (_BYTE_FALLBACK.fullmatch(text) or _UNUSED.fullmatch(text))


def _is_text(tokenizer: Any, token_id: int) -> bool:
    """Whether the id stands for text by itself: not blank, and not a fragment of a character."""
    text = tokenizer.decode([token_id])
    return bool(text.strip()) and "\ufffd" not in text


def _config_specials(config: Any) -> set[int]:
    named = (
        getattr(config, f"{name}_token_id", None)
        for name in ("bos", "eos", "pad", "sep", "cls", "unk", "decoder_start")
    )
    return {i for value in named for i in as_ids(value)}


def as_ids(value: Any) -> Iterable[int]:
    """The ids that a config or tokenizer states under one name: none, one or several."""
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)
