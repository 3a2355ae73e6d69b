"""Limits on means and ratios of means, of the output or of the residual stream at every block: t-tests, approximate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import NonFiniteMeasurement
from ...measures import DriftScores, ResidualDrift
from ...stats import ErrorLevels, Outcome, RatioGate
from ...stats.approximate import LOOKS
from .gated import Gated
from .limits import LimitKind

__all__ = ["AtEveryEntry"]


Pairs = Callable[[ResidualDrift, int], tuple[NDArray[np.float64], Any]]


class AtEveryEntry(Gated):
    """Approximate: means or ratios of means, one gate for the output or for each entry of the residual stream.

    All must hold, so each is tested at the full level for PASS; any may fail, so the level for FAIL is divided. Where
    not one bit differed on any document (below the first block that was tuned) there is no spread to test, and nothing
    to doubt: there the limit holds.
    """

    approximate = True

    def __init__(self, kind: LimitKind, limit: float, levels: ErrorLevels, entries: int) -> None:
        super().__init__(kind, limit, levels)
        each = replace(levels, fail=levels.fail / entries)
        self.gates = [RatioGate(limit, direction=kind.direction, levels=each) for _ in range(entries)]
        self.unmoved = [True] * entries
        self.shares: NDArray[np.float64] | None = None

    @property
    def reached(self) -> Outcome:
        outcomes = {
            Outcome.PASS if unmoved and gate.n >= LOOKS[0] else gate.outcome
            for gate, unmoved in zip(self.gates, self.unmoved, strict=True)
        }
        return next((o for o in (Outcome.FAIL, Outcome.INCONCLUSIVE) if o in outcomes), Outcome.PASS)

    def update(self, scores: DriftScores) -> None:
        for entry, gate in enumerate(self.gates):
            gate.update(*self._pairs(scores, entry))
            self.unmoved[entry] &= not self._moved(scores, entry).any()

    def _pairs(self, scores: DriftScores, entry: int) -> tuple[NDArray[np.float64], Any]:
        if self.kind.name == "kl":
            return scores.kl.values, 1.0
        residual = scores.residual
        assert residual is not None
        if self.kind.name == "residual":
            return residual.moved[:, entry], residual.size[:, entry]
        if self.kind.name == "cosine":
            return residual.cosine[:, entry], 1.0
        return self._hsic_pairs(residual, entry)

    def _moved(self, scores: DriftScores, entry: int) -> NDArray[np.float64]:
        """By document, something that is 0 if not one bit differed."""
        if self.kind.part == "output" or scores.residual is None:
            return scores.total_variation.values
        return scores.residual.moved[:, entry]

    def _hsic_pairs(self, residual: ResidualDrift, entry: int) -> tuple[NDArray[np.float64], Any]:
        """CKA = E[xy] / sqrt(E[xx] E[yy]), and sqrt(E[xx] E[yy]) is the least (w E[xx] + E[yy] / w) / 2 over w > 0: so
        with a w chosen in advance (on the first documents) the ratio of means is at most the CKA, and equal at the
        best w.
        """
        if self.shares is None:
            own = residual.hsic[..., 1:].mean(0)
            if not (own > 0).all():
                raise NonFiniteMeasurement(
                    f"no CKA at {_where(int(np.argwhere(own <= 0)[0, 0]))}: the residual stream does not vary within "
                    "documents; leave that limit out, or use longer texts"
                )
            self.shares = np.sqrt(own[:, 1] / own[:, 0])
        cross, own_x, own_y = np.moveaxis(residual.hsic[:, entry], -1, 0)
        w = self.shares[entry]
        return cross, (w * own_x + own_y / w) / 2

    @property
    def worst(self) -> int:
        """The entry that is nearest to the limit, or farthest beyond it."""
        sign = 1.0 if self.kind.direction == "lower" else -1.0
        values = [gate.estimate for gate in self.gates]
        return int(np.argmax([-np.inf if value is None else sign * value for value in values]))

    @property
    def layer(self) -> str | None:
        return _where(self.worst) if self.kind.part == "residual" and self.gates[self.worst].n else None

    def figures(self) -> tuple[float | None, tuple[float, float] | None, int]:
        gate = self.gates[self.worst]
        low, high = gate.interval
        lowest = 0.0 if self.kind.direction == "lower" else -1.0
        highest = inf if self.kind.direction == "lower" else 1.0
        return gate.estimate, (max(low, lowest), min(high, highest)) if gate.n else None, gate.n

    def needed(self) -> int | None:
        both = zip(self.gates, self.unmoved, strict=True)
        needs = [gate.needed() for gate, unmoved in both if gate.outcome is Outcome.INCONCLUSIVE and not unmoved]
        return None if not needs or None in needs else max(need for need in needs if need is not None)


def _where(entry: int) -> str:
    return "the embedding" if entry == 0 else f"block {entry}"
