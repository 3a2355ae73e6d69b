"""How well two models predict the same texts, each in its own tokens: nats per character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteMeasurement
from ..prompts import bos_id
from .passes import chunks, in_passes
from .tokens import in_full, log_probability

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["TextDrift", "measure_text_drift"]


@dataclass(frozen=True)
class TextDrift:
    """Nats per character of each text that both models can read; ``left_out`` is the number of the others (a token that
    one does not know, or too long for its context).
    """

    model: NDArray[np.float64]
    base: NDArray[np.float64]
    left_out: int

    @property
    def difference(self) -> float:
        """By how much worse the model predicts them than the base, nats per character."""
        return float((self.model - self.base).mean())


def measure_text_drift(model: Model, base: Model, texts: Sequence[str]) -> TextDrift | None:
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
    return TextDrift(mine, theirs, left_out=len(texts) - len(kept))


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
