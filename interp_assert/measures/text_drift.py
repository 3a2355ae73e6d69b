"""How well two models predict the same texts, each in its own tokens: nats per character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteMeasurement
from ..prompts import bos_id
from ..stats import Measurement
from .passes import chunks, in_passes
from .tokens import in_full, log_probability

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["VERSION", "TextDrift", "measure_text_drift"]

VERSION = 1
"""of the definition; raised when the same models would get other numbers"""


@dataclass(frozen=True)
class TextDrift:
    """Nats per character of each text that both models can read; ``left_out`` is the number of the others (a token that
    one does not know, or too long for its context), ``names`` and ``texts`` are those that were read.
    """

    model: NDArray[np.float64]
    base: NDArray[np.float64]
    left_out: int
    names: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def difference(self) -> float:
        """By how much worse the model predicts them than the base, nats per character."""
        return float((self.model - self.base).mean())

    @property
    def lost(self) -> Measurement:
        """The same for each text."""
        values = self.model - self.base
        return Measurement("drift/by_text", VERSION, self.names, values, -inf, inf, "nats/character", "lower")

    def extend(self, other: TextDrift) -> TextDrift:
        """These texts followed by those of ``other``."""
        return TextDrift(
            np.concatenate([self.model, other.model]),
            np.concatenate([self.base, other.base]),
            self.left_out + other.left_out,
            self.names + other.names,
            self.texts + other.texts,
        )


def measure_text_drift(
    model: Model, base: Model, texts: Sequence[str], *, names: Sequence[str] | None = None
) -> TextDrift | None:
    """Each text in each model's own tokens, BOS first where there is one; without, the first token is not scored.

    None if a model has no tokenizer or no text is left. Raises NonFiniteMeasurement naming the model.
    """
    if model.tokenizer is None or base.tokenizer is None:
        return None
    rows = [[_row(each, text) for text in texts] for each in (model, base)]
    kept = [i for i in range(len(texts)) if all(side[i] is not None for side in rows)]
    if not kept:
        return None
    mine, theirs = (
        _per_character(each, [side[i] or () for i in kept], [texts[i] for i in kept])
        for each, side in zip((model, base), rows, strict=True)
    )
    called = [str(i) for i in range(len(texts))] if names is None else names
    chosen = tuple(called[i] for i in kept), tuple(texts[i] for i in kept)
    return TextDrift(mine, theirs, len(texts) - len(kept), *chosen)


def _row(model: Model, text: str) -> tuple[int, ...] | None:
    """The ids, or None for a text that the model cannot read as it is."""
    tokenizer = model.tokenizer
    assert tokenizer is not None
    ids = [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
    bos, limit = bos_id(model), model.max_positions
    row = tuple(ids if bos is None else [bos, *ids])
    fits = limit is None or len(row) <= limit
    known = tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids
    return row if fits and known and len(row) > 1 and max(row) < int(model.vocab_size) else None


def _per_character(model: Model, rows: Sequence[tuple[int, ...]], texts: Sequence[str]) -> NDArray[np.float64]:
    def run(ids: torch.Tensor) -> list[float]:
        import torch

        logits = model.trace(ids).logits[:, :-1].flatten(0, 1)
        targets = ids[:, 1:].flatten().to(logits.device)
        log_p = torch.cat(
            [
                log_probability(in_full(logits[part]), targets[part]).double().cpu()
                for part in chunks(len(targets), int(model.vocab_size), logits.device)
            ]
        )
        return [float(nats) for nats in -log_p.view(len(ids), -1).sum(-1)]

    longest = max(len(row) for row in rows)
    nats = np.array(in_passes(model, rows, run, kept_per_row=2 * longest * int(model.vocab_size)), dtype=np.float64)
    unscored = [0 if bos_id(model) is not None else _length(model, row[0]) for row in rows]
    scored = np.array([max(1, len(text) - first) for text, first in zip(texts, unscored, strict=True)])
    if not np.isfinite(nats).all():
        raise NonFiniteMeasurement(
            f"{model.id}: text {int(np.flatnonzero(~np.isfinite(nats))[0])} has a likelihood that is not finite; try "
            "--interp-dtype float32"
        )
    return np.asarray(nats / scored)


def _length(model: Model, token: int) -> int:
    assert model.tokenizer is not None
    return len(model.tokenizer.decode([token]))
