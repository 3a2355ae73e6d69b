"""What drift is measured as: numbers per document, from which means, ratios and their errors are made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..stats import Cost, Measurement
from .cka import pooled_cka
from .moved import MovedParts

__all__ = ["DriftScores", "ResidualDrift"]


@dataclass(frozen=True)
class ResidualDrift:
    """The residual streams of both models, per document and entry: 0 is the embedding, k the stream after block k.

    Attributes:
        moved: (document, entry) mean over positions of ||x' - x||.
        size: (document, entry) mean of ||x|| of the base.
        cosine: (document, entry) mean of the cosine between x' and x.
        hsic: (document, entry, 3) terms of debiased linear CKA over the document's positions; zeros for a document of
            fewer than four positions.
    """

    moved: NDArray[np.float64]
    size: NDArray[np.float64]
    cosine: NDArray[np.float64]
    hsic: NDArray[np.float64]

    @property
    def relative(self) -> NDArray[np.float64]:
        """(entry,) E||x' - x|| / E||x||."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.moved.mean(0) / self.size.mean(0))

    @property
    def cka(self) -> NDArray[np.float64]:
        """(entry,) CKA with each document as a minibatch; NaN where a stream does not vary within documents."""
        return pooled_cka(self.hsic)

    def part(self, start: int, end: int) -> ResidualDrift:
        """Documents ``start`` to ``end`` - 1."""
        return ResidualDrift(*(values[start:end] for values in self._arrays))

    def extend(self, other: ResidualDrift) -> ResidualDrift:
        """These documents followed by those of ``other``."""
        return ResidualDrift(*(np.concatenate(pair) for pair in zip(self._arrays, other._arrays, strict=True)))

    @property
    def _arrays(self) -> tuple[NDArray[np.float64], ...]:
        return self.moved, self.size, self.cosine, self.hsic


@dataclass(frozen=True)
class DriftScores:
    """What was measured on a run of documents.

    Attributes:
        total_variation: of the next-token distributions, mean over the document's positions, 0 to 1.
        kl: KL(base || model) in nats, mean over positions.
        agreement: share of positions at which both name the same top token.
        residual: None where the streams cannot be compared, for the reason ``no_residual``.
        moved: heads and neurons over the first documents that were asked for; empty if none were.
        positions: that were counted, in all.
        cost: forward passes and tokens of both models.
    """

    total_variation: Measurement
    kl: Measurement
    agreement: Measurement
    residual: ResidualDrift | None
    no_residual: str | None
    moved: tuple[MovedParts, ...]
    positions: int
    cost: Cost

    @property
    def n(self) -> int:
        """The number of documents."""
        return self.total_variation.n

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """What was measured at the output."""
        return self.total_variation, self.kl, self.agreement

    @property
    def same(self) -> bool:
        """Whether not one bit differed, in the residual stream (if it was compared) and at the output."""
        moved = self.residual is not None and bool(self.residual.moved.any())
        output = self.total_variation.values.any() or self.kl.values.any() or (self.agreement.values < 1.0).any()
        return not (moved or bool(output))

    def head(self, n: int) -> DriftScores:
        """The first ``n`` documents; positions, cost and moved parts stay those of the whole."""
        return self.part(0, n)

    def part(self, start: int, end: int) -> DriftScores:
        """Documents ``start`` to ``end`` - 1; positions, cost and moved parts stay those of the whole."""
        variation, kl, agreement = (_part(measured, start, end) for measured in self.measurements)
        residual = self.residual and self.residual.part(start, end)
        return replace(self, total_variation=variation, kl=kl, agreement=agreement, residual=residual)

    def extend(self, other: DriftScores) -> DriftScores:
        """These documents followed by those of ``other``; the moved parts stay those of the first documents."""
        joined = (mine.extend(theirs) for mine, theirs in zip(self.measurements, other.measurements, strict=True))
        variation, kl, agreement = joined
        return replace(
            self,
            total_variation=variation,
            kl=kl,
            agreement=agreement,
            residual=self.residual and other.residual and self.residual.extend(other.residual),
            positions=self.positions + other.positions,
            cost=self.cost + other.cost,
        )


def _part(measured: Measurement, start: int, end: int) -> Measurement:
    return replace(measured, clusters=measured.clusters[start:end], values=measured.values[start:end])
