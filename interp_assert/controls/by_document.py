"""A control decided exactly on documents: a reconstruction explains more of a document than a cheaper one does."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..stats import ControlResult, ErrorLevels, Outcome, SequentialGate
from .paired import control_levels

__all__ = ["BetterByDocument"]


class BetterByDocument:
    """Holds if at least a share ``pi`` of documents have VE(coder) - VE(control) >= ``margin``.

    Free of any assumption on how VE is distributed over documents: each document counts as better or not.
    ``population`` is the number of documents of a finite list. ``note`` says what the control is.
    """

    def __init__(
        self, name: str, margin: float, pi: float, levels: ErrorLevels, *, note: str, population: int | None = None
    ) -> None:
        self.name, self.margin, self.note = name, margin, note
        self.gate = SequentialGate(pi, levels=control_levels(levels), population=population)

    def update(self, own: ArrayLike, other: ArrayLike) -> Outcome:
        """Take the VE of further documents (n,), the coder's and the control's; nothing is counted once decided."""
        if self.gate.outcome is Outcome.INCONCLUSIVE:
            ahead = np.asarray(own, dtype=np.float64) - np.asarray(other, dtype=np.float64)
            self.gate.update((ahead >= self.margin).astype(np.float64))
        return self.gate.outcome

    def result(self, variance_explained: float) -> ControlResult:
        """The control's verdict where it stands; ``variance_explained`` is the control's own, pooled."""
        gate = self.gate
        return ControlResult(
            name=self.name,
            outcome=gate.outcome,
            estimate=gate.estimate,
            interval=gate.interval if gate.n else None,
            threshold=gate.threshold,
            n=gate.n,
            note=f"{self.note}: VE {variance_explained:.3f}; share of documents that the coder explains better by "
            f"{self.margin:g}",
            details={"needed": gate.needed(), "variance_explained": variance_explained, "margin": self.margin},
        )
