"""What a reconstruction is worth to the model itself: its next-token loss with the site replaced by it, between that
of the site left alone and that of the site ablated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import NonFiniteMeasurement
from ..models import for_batches
from .metrics import Reconstruction
from .reading import SiteReader, held_at_once

__all__ = ["CrossEntropyRecovered", "cross_entropy_recovered"]

_LEAST = 1e-3
"""nats by which an ablation has to hurt before a share of it means anything"""


@dataclass(frozen=True)
class CrossEntropyRecovered:
    """Mean next-token loss in nats, with the site's values at the tokens that count ...

    Attributes:
        clean: ... left as they are.
        coder: ... replaced by their reconstructions.
        zero: ... replaced by 0.
        mean: ... replaced by the mean of the training stream.
        tokens: predictions behind each number.
    """

    clean: float
    coder: float
    zero: float
    mean: float
    tokens: int

    @property
    def from_zero(self) -> float | None:
        """(zero - coder) / (zero - clean): 1 if nothing is lost; None where the ablation does not hurt."""
        return self._recovered(self.zero)

    @property
    def from_mean(self) -> float | None:
        """(mean - coder) / (mean - clean)."""
        return self._recovered(self.mean)

    def _recovered(self, ablated: float) -> float | None:
        return (ablated - self.coder) / (ablated - self.clean) if ablated - self.clean > _LEAST else None


def cross_entropy_recovered(
    reader: SiteReader, coder: Reconstruction, rows: Sequence[Sequence[int]], mean: torch.Tensor
) -> CrossEntropyRecovered:
    """Four passes over the rows: clean, with the coder, with zero and with mean ablation.

    Only positions that count are replaced, and only predictions of tokens that count are scored. Raises
    SiteNotAvailable for a site that cannot be written, NonFiniteMeasurement for a loss that is not finite.
    """

    def constant(value: torch.Tensor) -> Reconstruction:
        return lambda x: value.to(x).expand_as(x)

    # the clean pass goes through an edit that writes back what is there, so that all four run the same way
    edits: dict[str, Reconstruction] = {
        "clean": lambda x: x,
        "coder": coder,
        "zero": constant(torch.zeros_like(mean)),
        "mean": constant(mean),
    }
    size = max(1, held_at_once(reader.model.device) // (max(map(len, rows)) * int(reader.model.vocab_size)))
    losses: dict[str, float] = {}
    tokens = 0
    for name, reconstruct in edits.items():
        sums = [
            row
            for start in range(0, len(rows), size)
            for row in for_batches(reader.model, rows[start : start + size], _loss_with(reader, reconstruct))
        ]
        total, tokens = (sum(column) for column in zip(*sums, strict=True))
        losses[name] = total / max(1, tokens)
        if not losses[name] < float("inf"):
            raise NonFiniteMeasurement(
                f"{reader.model.id}: the next-token loss with {reader.site} {name} is {losses[name]}"
            )
    return CrossEntropyRecovered(**losses, tokens=int(tokens))


def _loss_with(reader: SiteReader, reconstruct: Reconstruction) -> Callable[[torch.Tensor], Any]:
    """For ids (batch, pos): the summed loss of each row and how many predictions it has."""

    def run(ids: torch.Tensor) -> Any:
        counted = reader.counts(ids)
        recurs = _recurs(reader)
        edits = _states(reader, reconstruct, ids, counted) if recurs else _edits(reader, reconstruct, counted)
        logits = reader.model.trace(ids, write={reader.site: edits}).logits
        scored = counted[:, 1:]
        loss = -logits[:, :-1].float().log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].double()
        return [(float(row[keep].sum()), int(keep.sum())) for row, keep in zip(loss, scored, strict=True)]

    return run


def _recurs(reader: SiteReader) -> bool:
    return reader.site.endswith(".state")


def _replaced(reader: SiteReader, reconstruct: Reconstruction, value: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """A site's value (batch, pos, ...) with what is coded of it reconstructed at the positions to ``keep``."""
    flat = reader.flat(value)
    chosen = keep.to(flat.device)
    changed = flat.clone()
    changed[chosen] = reconstruct(flat[chosen])
    return reader.put_back(value, changed)


def _edits(reader: SiteReader, reconstruct: Reconstruction, counted: torch.Tensor) -> Any:
    return lambda value: _replaced(reader, reconstruct, value, counted)


def _states(reader: SiteReader, reconstruct: Reconstruction, ids: torch.Tensor, counted: torch.Tensor) -> Any:
    """One edit for each step. What is reconstructed is the state that the model has by itself, as at any other site:
    else each step would code what the steps before it had left over, and errors would pile up.
    """
    from ..models.edits import at

    clean = reader.model.trace(ids, [reader.site], logits=False)[reader.site]
    written = _replaced(reader, reconstruct, clean, counted)

    def edit_of(t: int) -> Callable[[torch.Tensor], torch.Tensor]:
        keep = counted[:, t].to(written.device).view(-1, *[1] * (written.dim() - 1))
        return lambda value: torch.where(keep, written[:, t : t + 1].to(value), value)

    return [at([t], edit_of(t)) for t in range(counted.shape[1])]
