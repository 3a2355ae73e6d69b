"""Running text for measurements that need any: an endless stream sampled from a model, or a user's list.

A document is a cluster. Two models that are compared read the same ids, those of the one that the documents were made
for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import ContextTooShort, TokenOutOfRange, UsageProblem
from .pool import bos_id, special_ids
from .sampled import CannotSample, sample_documents

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["Document", "Documents", "GivenDocuments", "SampledDocuments", "why_not_the_same_tokens"]

CHUNK = 64
"""Sampled documents are drawn this many at a time, so that document k is the same whatever was asked for before."""


@dataclass(frozen=True)
class Document:
    """One cluster of text: a stable name, its ids, BOS first if the tokenizer defines one, and the text that the ids
    were made of, if they were made of one.
    """

    id: str
    ids: tuple[int, ...]
    text: str | None = None


class Documents(Protocol):
    """Where documents come from."""

    note: str

    @property
    def population(self) -> int | None:
        """How many there are in all; None for an endless stream."""

    def take(self, start: int, count: int) -> list[Document]:
        """Documents start .. start + count - 1."""


class SampledDocuments:
    """Documents of at most ``length`` ids that ``model`` writes itself, at temperature 1: see ``sample_documents``.

    Document k depends on the model, ``length``, ``seed`` and k only. Those without an ordinary token after the first
    position are left out.

    Raises CannotSample (with the remedy) if the model has nothing to begin with or ends everything that it begins.
    """

    population = None

    def __init__(self, model: Model, length: int = 64, seed: int = 0) -> None:
        self.model = model
        self.length = length
        self.seed = seed
        self.note = f"sampled from {model.id}, at most {length} tokens, seed {seed}"
        self._drawn = 0
        self._kept: list[Document] = []

    def take(self, start: int, count: int) -> list[Document]:
        while len(self._kept) < start + count:
            self._draw()
        return self._kept[start : start + count]

    def _draw(self) -> None:
        seed = int(np.random.default_rng([self.seed, 0xD0C5, self._drawn]).integers(2**62))
        try:
            drawn = sample_documents(self.model, CHUNK, self.length, seed=seed)
        except CannotSample as problem:
            raise CannotSample(f"{problem}; give texts=") from problem
        specials = special_ids(self.model)
        kept = [
            Document(f"sampled/seed={self.seed}/{self._drawn + place}", ids)
            for place, ids in enumerate(drawn)
            if _says_something(ids, specials)
        ]
        if not kept:
            raise CannotSample(f"{self.model.id} ends every document that it begins; give texts=")
        self._drawn += CHUNK
        self._kept += kept


class GivenDocuments:
    """A user's texts, or rows of token ids, in an order that depends on the seed and their number only.

    Texts are put into the tokens of ``model``, BOS first as its tokenizer defines it. ``limit`` is the longest row that
    fits, if shorter than the model's own context.

    Raises UsageProblem for no texts, an empty or repeated one, one without an ordinary token, or texts for a model
    without a tokenizer; ContextTooShort and TokenOutOfRange name the text.
    """

    def __init__(
        self, model: Model, texts: Sequence[str] | Sequence[Sequence[int]], *, limit: int | None = None, seed: int = 0
    ) -> None:
        rows = _rows(model, texts)
        _check(model, rows, [limit, model.max_positions])
        order = np.argsort(np.random.default_rng([seed, 0xD0C5]).random(len(rows)), kind="stable")
        self._documents = [
            Document(f"text {i}", rows[i], text if isinstance(text := texts[i], str) else None) for i in map(int, order)
        ]
        self.population = len(rows)
        self.note = f"{len(rows)} texts given, in the order of seed {seed}"

    def take(self, start: int, count: int) -> list[Document]:
        return self._documents[start : start + count]


def why_not_the_same_tokens(model: Model, other: Model, texts: Sequence[Any] | None = None) -> str | None:
    """Why ids do not mean the same to both models, or None if they do.

    Two vocabularies agree if every id that both have stands for the same token; one may have further ones at its end
    (padding, added tokens). ``texts``, if given, must also be cut into the same tokens by both. Where one model has no
    tokenizer, vocabularies of one size are taken for the same.
    """
    if model.tokenizer is None or other.tokenizer is None:
        if int(model.vocab_size) == int(other.vocab_size):
            return None
        return (
            f"{model.id} has {model.vocab_size} token ids, {other.id} {other.vocab_size}, and without both tokenizers "
            "nobody can say which are the same"
        )
    mine, theirs = (_tokens(each) for each in (model, other))
    for token_id in sorted(mine.keys() & theirs.keys()):
        if mine[token_id] != theirs[token_id]:
            return (
                f"the tokenizers differ: id {token_id} is {mine[token_id]!r} to {model.id} and "
                f"{theirs[token_id]!r} to {other.id}"
            )
    for number, text in enumerate(texts or ()):
        if isinstance(text, str) and _encode(model, text) != _encode(other, text):
            return f"the tokenizers differ: {model.id} and {other.id} cut text {number} into different tokens"
    return None


def _tokens(model: Model) -> dict[int, str]:
    return {int(i): token for token, i in model.tokenizer.get_vocab().items()}  # type: ignore[union-attr]


def _encode(model: Model, text: str) -> list[int]:
    return [int(i) for i in model.tokenizer(text, add_special_tokens=False)["input_ids"]]  # type: ignore[misc]


def _rows(model: Model, texts: Sequence[str] | Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    if isinstance(texts, (str, bytes)):
        raise UsageProblem("texts is a single string; give a list of documents")
    given = list(texts)
    if not given:
        raise UsageProblem("no texts were given; leave texts out to sample documents from the base model")
    bos = bos_id(model)
    rows: list[tuple[int, ...]] = []
    seen: dict[Any, int] = {}
    for number, text in enumerate(given):
        key: Any = text if isinstance(text, str) else tuple(text)
        if not (key.strip() if isinstance(key, str) else key):
            raise UsageProblem(f"text {number} of {len(given)} is empty; leave it out")
        if key in seen:
            raise UsageProblem(
                f"text {number} is text {seen[key]} again; documents are the independent units, so give each once"
            )
        seen[key] = number
        if not isinstance(key, str):
            rows.append(tuple(int(i) for i in key))
        elif model.tokenizer is None:
            raise UsageProblem(f"{model.id} has no tokenizer; give rows of token ids, or wrap() it with a tokenizer")
        else:
            ids = _encode(model, key)
            rows.append(tuple(ids if bos is None else [bos, *ids]))
    return rows


def _check(model: Model, rows: Sequence[tuple[int, ...]], limits: Sequence[int | None]) -> None:
    limit = min((limit for limit in limits if limit is not None), default=None)
    specials, size = special_ids(model), int(model.vocab_size)
    for number, row in enumerate(rows):
        if limit is not None and len(row) > limit:
            raise ContextTooShort(f"text {number} has {len(row)} tokens and the context {limit}; cut it")
        outside = next((i for i in row if not 0 <= i < size), None)
        if outside is not None:
            raise TokenOutOfRange(f"text {number} has token id {outside}; {model.id} has ids 0 to {size - 1}")
        if not _says_something(row, specials):
            raise UsageProblem(
                f"text {number} has no token that counts: the first position, special and unknown tokens are left out"
            )


def _says_something(ids: Sequence[int], specials: set[int]) -> bool:
    return any(token not in specials for token in ids[1:])
