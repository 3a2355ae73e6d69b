"""A control decided exactly on documents: a reconstruction explains more of a document than a cheaper one does."""

from __future__ import annotations

from math import exp

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..stats import ControlResult, ErrorLevels, Outcome, SequentialGate
from .paired import control_levels
from .twin_score import LEAST_UNEXPLAINED

__all__ = ["BetterByDocument"]


class BetterByDocument:
    """Holds if on at least a share ``pi`` of documents -log(1 - VE) of the coder exceeds the control's by ``margin``:
    if it leaves unexplained less than e^-margin of what the control does.

    A difference of VE would not do: no coder can explain .05 more than a projection that explains .96. Free of any
    assumption on how VE is distributed over documents: each document counts as better or not. ``population`` is the
    number of documents of a finite list. ``note`` says what the control is.
    """

    def __init__(
        self, name: str, margin: float, pi: float, levels: ErrorLevels, *, note: str, population: int | None = None
    ) -> None:
        self.name, self.margin, self.note = name, margin, note
        self.gate = SequentialGate(pi, levels=control_levels(levels), population=population)

    def update(self, own: ArrayLike, other: ArrayLike) -> Outcome:
        """Take the VE of further documents (n,), the coder's and the control's; nothing is counted once decided. A VE
        that is NaN, of a document that does not vary, is not better.
        """
        if self.gate.outcome is Outcome.INCONCLUSIVE:
            with np.errstate(invalid="ignore"):  # infinitely worse than what is infinitely bad: not better
                ahead = _unexplained(other) - _unexplained(own)
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
            note=f"{self.note}: VE {variance_explained:.3f}; share of documents of which the coder leaves "
            f"less unexplained by a factor of {exp(self.margin):.2f}",
            details={"needed": gate.needed(), "variance_explained": variance_explained, "margin": self.margin},
        )


def _unexplained(explained: ArrayLike) -> NDArray[np.float64]:
    """log(1 - VE), of no less than what float32 can tell from nothing."""
    left = 1.0 - np.asarray(explained, dtype=np.float64)
    return np.asarray(np.log(np.where(left < LEAST_UNEXPLAINED, LEAST_UNEXPLAINED, left)))
