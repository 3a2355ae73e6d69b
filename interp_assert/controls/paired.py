"""A control decided exactly: the model's score on each cluster minus its score on a null input made from that
cluster.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..stats import ControlResult, ErrorLevels, Measurement, Outcome, SequentialGate

__all__ = ["PairedControl", "control_levels"]


def control_levels(levels: ErrorLevels) -> ErrorLevels:
    """The error level of controls on both sides; that of their FAIL may be another."""
    fail = levels.control if levels.control_fail is None else levels.control_fail
    return ErrorLevels(pass_=levels.control, fail=fail, control=levels.control)


class PairedControl:
    """Holds if real - null exceeds the margin on average, one pair per cluster, in order; for ``direction="lower"`` if
    null - real does.

    ``width`` is the range of one score, 1 for a share. Where a score has no bounds the mean cannot be decided exactly;
    with ``share`` the control holds if the difference exceeds the margin in more than that share of the clusters.
    ``population`` is the number of clusters of a finite list. ``note`` says what the null input is.
    """

    def __init__(
        self,
        name: str,
        margin: float,
        levels: ErrorLevels,
        *,
        note: str,
        population: int | None = None,
        width: float = 1.0,
        share: float | None = None,
        direction: Literal["higher", "lower"] = "higher",
    ) -> None:
        self.name = name
        self.note = note
        self.margin = margin
        self.share = share
        self.direction = direction
        threshold, lo, hi = (margin, -width, width) if share is None else (share, 0.0, 1.0)
        self.gate = SequentialGate(threshold, lo=lo, hi=hi, levels=control_levels(levels), population=population)

    def update(self, real: Measurement, null: Measurement) -> Outcome:
        """Take further clusters; nothing is counted once decided."""
        if self.gate.outcome is Outcome.INCONCLUSIVE:
            self.gate.update(self.advantage(real, null))
        return self.gate.outcome

    def advantage(self, real: Measurement, null: Measurement) -> NDArray[np.float64]:
        """(cluster,) by how much the score is better than that on the null input; with ``share`` whether it is, by more
        than the margin.
        """
        difference = real.minus(null).values if self.direction == "higher" else null.minus(real).values
        return np.asarray(difference if self.share is None else difference > self.margin, dtype=np.float64)

    def result(self) -> ControlResult:
        """The control's verdict where it stands."""
        gate = self.gate
        return ControlResult(
            name=self.name,
            outcome=gate.outcome,
            estimate=gate.estimate,
            interval=gate.interval if gate.n else None,
            threshold=gate.threshold,
            n=gate.n,
            note=self.note,
            details={"needed": gate.needed()},
        )
