"""Rows of text of one length: written by the model itself without end, or cut from the user's own corpus; those to
train on apart from those to judge on.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from ..errors import TokenOutOfRange, UsageProblem
from .pool import bos_id
from .sampled import CannotSample, sample_documents

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["CorpusRows", "Row", "RowSource", "SampledRows", "rows_of"]

Row = tuple[int, ...]
"""Token ids of one row, the model's BOS first if it has one."""

_ROUND, _MOST = 64, 512
"""rows that a round of sampling fills, and documents that it takes at most"""
_IDLE = 256
"""rows that the model writes without a new one among them before it is given up"""


class RowSource(Protocol):
    """Where rows come from: those to train on, and others, all of the same length, to judge on."""

    length: int
    """ids of each row to judge on"""

    @property
    def population(self) -> int | None:
        """How many rows to judge on there are; None for an endless supply."""

    @property
    def note(self) -> str:
        """What the rows are, for the record."""

    def training(self, tokens: int) -> list[Row]:
        """Rows of together at least ``tokens`` ids, or all there are; of any length up to ``length``."""

    def evaluation(self, start: int, count: int) -> list[tuple[str, Row]]:
        """(name, ids) of rows ``start`` .. ``start + count - 1``, none of which is among those trained on."""


class SampledRows:
    """Rows of ``length`` ids filled with documents that the model writes, one after the other, each with its BOS; the
    last one is cut, so that rows are independent draws. The same model, length and seed give the same rows.

    Those to judge on are sampled with a seed of their own; one that was also trained on, or judged before, is left out.
    Raises CannotSample if the model cannot generate, ends its documents at once or writes nothing new; UsageProblem for
    a length under 2.
    """

    def __init__(self, model: Model, length: int, seed: int = 0) -> None:
        self.model, self.seed = model, seed
        self.length = fitting_length(model, length)
        self._to_train, self._to_judge = self._written(0), self._written(1)
        self._training: list[Row] = []
        self._judged: dict[Row, str] = {}
        self._numbered = 0

    @property
    def population(self) -> None:
        """Endless."""
        return None

    @property
    def note(self) -> str:
        return f"rows of {self.length} ids sampled from the model itself at temperature 1, seed {self.seed}"

    def training(self, tokens: int) -> list[Row]:
        """Whole rows of together at least ``tokens`` ids."""
        count = -(-tokens // self.length)
        while len(self._training) < count:
            self._training.append(next(self._to_train))
        return self._training[:count]

    def evaluation(self, start: int, count: int) -> list[tuple[str, Row]]:
        """Rows that are not among those to train on and do not repeat, named by the seed and the order of sampling."""
        trained_on, idle = set(self._training), 0
        while len(self._judged) < start + count:
            row, name = next(self._to_judge), f"sampled {self.seed}.{self._numbered}"
            self._numbered += 1
            if row not in trained_on and row not in self._judged:
                self._judged[row], idle = name, 0
                continue
            idle += 1
            if idle == _IDLE:
                raise CannotSample(
                    f"{self.model.id}: it writes the same text again and again: beyond {len(self._judged)} rows there "
                    "are none to judge on; give a corpus"
                )
        return [(name, row) for row, name in list(self._judged.items())[start : start + count]]

    def _written(self, purpose: int) -> Iterator[Row]:
        """Rows without end, for one purpose. Documents are sampled in rounds: first a few, then as many as fill
        ``_ROUND`` rows if they go on to be as long.
        """
        count, written, row = _ROUND, [0, 0], list[int]()
        for number in itertools.count():
            seed = int(np.random.default_rng([self.seed, 0x40C5, purpose, number]).integers(2**62))
            documents = [d for d in sample_documents(self.model, count, self.length, seed=seed) if len(d) > 1]
            if not documents:
                raise CannotSample(f"{self.model.id} ends every document that it begins; give a corpus")
            for document in documents:
                row += document
                if len(row) >= self.length:
                    yield tuple(row[: self.length])
                    row = []
            written = [written[0] + count, written[1] + sum(map(len, documents))]
            count = min(_MOST, max(_ROUND, _ROUND * self.length * written[0] // written[1]))


class CorpusRows:
    """A corpus of texts or of token rows, split by content: half of what is long enough is for evaluation.

    Which document is for what depends on its own ids only, not on a seed or on its place, so whatever was trained on
    this corpus never saw what it is judged on. A document is judged by its first ``length`` ids; those to train on are
    used whole, in pieces of at most ``length`` ids with a BOS each. Repeated documents count once.

    Raises UsageProblem for an empty corpus, texts without a tokenizer, or nothing long enough; TokenOutOfRange.
    """

    def __init__(self, model: Model, corpus: Sequence[str] | Sequence[Sequence[int]], length: int) -> None:
        if isinstance(corpus, str) or len(corpus) == 0:
            raise UsageProblem("a corpus is a list of texts or of rows of token ids, and it holds at least one")
        self.length = fitting_length(model, length)
        rows = _tokenised(model, corpus)
        long, self.repeated, self.short = _first_ids(rows, self.length)
        judged = {row[: self.length] for row in long if _digest(row[: self.length])[0] % 2}
        self._evaluation = sorted(judged, key=_digest)
        self._training = _pieces([row for row in rows if row[: self.length] not in judged], self.length, bos_id(model))
        if not self._evaluation or not self._training:
            raise UsageProblem(
                f"of {len(rows)} documents {len(long)} have at least {self.length} ids and differ: too few to train on "
                "some and to judge on others; give more or longer documents, or a smaller length"
            )
        self._note = (
            f"{len(rows)} documents given, {self.short} shorter than {self.length} ids, {self.repeated} repeated; "
            f"{len(self._evaluation)} to judge on"
        )

    @property
    def population(self) -> int:
        """The documents to judge on."""
        return len(self._evaluation)

    @property
    def note(self) -> str:
        return self._note

    def training(self, tokens: int) -> list[Row]:
        """Pieces of the documents to train on."""
        chosen, total = [], 0
        for row in self._training:
            if total >= tokens:
                break
            chosen.append(row)
            total += len(row)
        return chosen

    def evaluation(self, start: int, count: int) -> list[tuple[str, Row]]:
        """The first ids of documents that are not trained on, in an order of their own."""
        rows = self._evaluation[start : start + count]
        return [(f"document {_digest(row).hex()[:12]}", row) for row in rows]


def rows_of(
    model: Model,
    documents: RowSource | Sequence[str] | Sequence[Sequence[int]] | None,
    *,
    length: int,
    seed: int,
) -> RowSource:
    """What a caller gave as documents: nothing (then the model writes them), a corpus, or a source of documents."""
    if documents is None:
        return SampledRows(model, length, seed)
    if hasattr(documents, "training") and hasattr(documents, "evaluation"):
        return cast("RowSource", documents)
    return CorpusRows(model, documents, length)


def fitting_length(model: Model, length: int) -> int:
    """The length, at most the model's context; raises UsageProblem unless it is a whole number of at least 2."""
    if isinstance(length, bool) or not isinstance(length, int) or length < 2:
        raise UsageProblem(f"length={length!r}: documents are made of a whole number of ids, 2 or more")
    return length if model.max_positions is None else min(length, model.max_positions)


def _tokenised(model: Model, corpus: Sequence[str] | Sequence[Sequence[int]]) -> list[Row]:
    bos, rows = bos_id(model), []
    for place, document in enumerate(corpus):
        if isinstance(document, str):
            if model.tokenizer is None:
                raise UsageProblem(f"{model.id} has no tokenizer, so texts cannot be put into its tokens; give ids")
            ids = [int(i) for i in model.tokenizer(document, add_special_tokens=False)["input_ids"]]
        else:
            ids = _ids(document, place)
        wrong = next((i for i in ids if not 0 <= i < model.vocab_size), None)
        if wrong is not None:
            raise TokenOutOfRange(f"document {place} holds id {wrong}; {model.id} has ids 0 to {model.vocab_size - 1}")
        if bos is not None and (not ids or ids[0] != bos):
            ids = [bos, *ids]
        rows.append(tuple(ids))
    return rows


def _ids(document: Any, place: int) -> list[int]:
    try:
        return [operator.index(i) for i in document]
    except TypeError as problem:
        raise UsageProblem(f"document {place} is neither a text nor a row of token ids: {problem}") from problem


def _first_ids(rows: Sequence[Row], length: int) -> tuple[list[Row], int, int]:
    """(documents that are long enough, one for each beginning; how many repeat one; how many are too short)."""
    long = {row[:length]: row for row in rows if len(row) >= length}
    enough = sum(len(row) >= length for row in rows)
    return list(long.values()), enough - len(long), len(rows) - enough


def _pieces(rows: Sequence[Row], length: int, bos: int | None) -> list[Row]:
    """Rows in pieces of at most ``length`` ids, in the order of their digests, each beginning with BOS."""
    pieces: list[Row] = []
    for row in sorted(set(rows), key=_digest):
        head = 0 if bos is None else 1
        body, size = row[head:], length - head
        pieces += [row[:head] + body[start : start + size] for start in range(0, len(body), size)]
    return [piece for piece in pieces if len(piece) > 1]


def _digest(row: Row) -> bytes:
    return hashlib.sha256(",".join(map(str, row)).encode()).digest()
