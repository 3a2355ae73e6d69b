"""What a model and its base show on one source of documents: read once, grown as more are asked for, and remembered
while the weights stay what they are, so that several claims about one pair share their forward passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from ...errors import ModelRefused
from ...measures import (
    DriftScores,
    TextDrift,
    WeightDrift,
    measure_drift,
    measure_text_drift,
    measure_weight_drift,
)
from ...measures.activations import fingerprint
from ...measures.weight_drift import why_no_weight_drift
from ...prompts import (
    CannotSample,
    Document,
    Documents,
    GivenDocuments,
    SampledDocuments,
    special_ids,
    why_not_the_same_tokens,
)

if TYPE_CHECKING:
    from ...models import Model

__all__ = ["FIRST", "Readings", "readings_of"]

FIRST = 64
"""documents that are always read: parts, the noise floor and twins are compared on them, and gates look after them"""


class Readings:
    """Documents of one source as read so far.

    ``missing`` is why nothing can be compared token by token (other tokens, a base that cannot write), or None.
    ``by_text`` is what was read of whole texts, each model in its own tokens.
    """

    def __init__(self, documents: Documents | None, missing: str | None) -> None:
        self.documents = documents
        self.missing = missing
        self.by_text: TextDrift | None = None
        self.texts_read = 0
        self.scores: DriftScores | None = None
        self.floor: dict[str, Any] | None = None
        self.weights: WeightDrift | str | None = None
        self.claims: dict[Any, list[dict[str, Any]]] = {}

    @property
    def population(self) -> int | None:
        """How many documents there are in all; None for an endless source."""
        return None if self.documents is None else self.documents.population

    def first(self) -> list[Document]:
        """The documents that twins and the noise floor are measured on."""
        assert self.documents is not None
        return self.documents.take(0, FIRST)

    def upto(self, model: Model, base: Model, count: int) -> DriftScores:
        """The first ``count`` documents, or all there are; only what was not read before goes through the models."""
        assert self.documents is not None
        have = 0 if self.scores is None else self.scores.n
        if self.scores is None or have < count:
            more = self.documents.take(have, count - have)
            if self.scores is None:
                self.scores = measure_drift(model, base, more, parts=True)
            elif more:
                self.scores = self.scores.extend(measure_drift(model, base, more))
        return self.scores.head(min(count, self.scores.n))

    def texts_upto(self, model: Model, base: Model, count: int) -> TextDrift | None:
        """The first ``count`` documents as texts, or all there are, as far as both models can read them; None if that
        is none.
        """
        if self.documents is None or base.tokenizer is None or model.tokenizer is None:
            return None
        new = self.documents.take(self.texts_read, count - self.texts_read) if count > self.texts_read else []
        if new:
            self.texts_read += len(new)
            read = measure_text_drift(model, base, _texts(base, new), names=[document.id for document in new])
            if read is not None:
                self.by_text = read if self.by_text is None else self.by_text.extend(read)
        return self.by_text

    def no_whole_text(self, model: Model, base: Model) -> str | None:
        """Why not even whole texts can be compared, or None."""
        bare = next((each.id for each in (model, base) if each.tokenizer is None), None)
        if bare is not None:
            return f"{bare} has no tokenizer, so texts cannot be put into its tokens"
        if self.texts_upto(model, base, FIRST) is None:
            return self.missing if self.documents is None else "none of the texts can be read by both models"
        return None

    def noise_floor(self, base: Model) -> dict[str, Any]:
        """The drift of the base from itself after its weights went through bfloat16 and back, on the first documents;
        or, under ``missing``, why there is none.
        """
        if self.floor is None:
            self.floor = _noise_floor(base, self.first())
        return self.floor

    def weight_drift(self, model: Model, base: Model) -> WeightDrift | str:
        """How far the weights have moved, or why they cannot be compared."""
        if self.weights is None:
            self.weights = why_no_weight_drift(model, base) or measure_weight_drift(model, base)
        return self.weights


def readings_of(model: Model, base: Model, texts: Sequence[Any] | None, length: int, seed: int) -> Readings:
    """The readings of a pair on a user's texts, or on documents sampled from the base; remembered ones if there are.

    Raises what ``GivenDocuments`` raises for bad texts.
    """
    if model is base:
        return _fresh(model, base, texts, length, seed)
    given = hashlib.sha256(repr(None if texts is None else list(texts)).encode()).hexdigest()
    key = (given, length, seed, model.batch_tokens)
    weights = (fingerprint(model.module), fingerprint(base.module))
    known = _remembered.get(model)
    same = known is not None and known[0]() is base and known[2] == weights
    if known is None or not same or known[1] != key:
        readings = _fresh(model, base, texts, length, seed)
        if known is not None and same:  # neither has to do with the documents
            readings.claims, readings.weights = known[3].claims, known[3].weights
        known = _remembered[model] = (ref(base), key, weights, readings)
    return known[3]


_remembered: WeakKeyDictionary[Model, tuple[ref[Model], tuple[Any, ...], tuple[str, str], Readings]] = (
    WeakKeyDictionary()
)
"""the latest source of documents for each model; the numbers of a few thousand documents take a few megabytes"""


def _fresh(model: Model, base: Model, texts: Sequence[Any] | None, length: int, seed: int) -> Readings:
    other = why_not_the_same_tokens(model, base, texts)
    documents: Documents
    if texts is not None:
        documents = GivenDocuments(base, texts, limit=None if other else model.max_positions, seed=seed)
    else:
        limits = [limit for limit in (length, model.max_positions, base.max_positions) if limit is not None]
        documents = SampledDocuments(base, min(limits), seed)
        try:
            documents.take(0, 1)
        except CannotSample as problem:
            return Readings(None, other or str(problem))
    readings = Readings(documents, other)
    if other is not None:
        readings.texts_upto(model, base, FIRST)
    return readings


def _texts(base: Model, documents: Sequence[Document]) -> list[str]:
    """Documents as they were given, or else as the base would write them."""
    assert base.tokenizer is not None
    specials, decode = special_ids(base), base.tokenizer.decode
    return [
        decode([i for i in document.ids if i not in specials]) if document.text is None else document.text
        for document in documents
    ]


def _noise_floor(base: Model, documents: list[Document]) -> dict[str, Any]:
    import torch

    from ...models import rounded

    through = torch.bfloat16
    if base.dtype not in (torch.float32, torch.float64):
        return {"missing": f"{base.id} is in {base.dtype}, which no narrower format of its kind rounds"}
    try:
        with rounded(base, through) as other:
            scores = measure_drift(other, base, documents)
    except ModelRefused as problem:
        return {"missing": str(problem)}
    found: dict[str, Any] = {
        "through": str(through).removeprefix("torch."),
        "documents": scores.n,
        "total_variation": scores.total_variation.estimate,
        "kl": scores.kl.estimate,
        "agreement": scores.agreement.estimate,
    }
    if scores.residual is not None:
        residual = scores.residual
        found |= {"residual": residual.relative, "cosine": residual.cosine.mean(0), "cka": residual.cka}
    return found
