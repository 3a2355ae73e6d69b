"""A control decided exactly: the model's score on each cluster minus its score on a null input made from that
cluster.
"""

from __future__ import annotations

import numpy as np

from ..stats import ControlResult, ErrorLevels, Measurement, Outcome, SequentialGate

__all__ = ["PairedControl", "control_levels"]


def control_levels(levels: ErrorLevels) -> ErrorLevels:
    """The same error level, that of controls, on both sides."""
    return ErrorLevels(pass_=levels.control, fail=levels.control, control=levels.control)


class PairedControl:
    """Holds if real - null exceeds the margin on average; both scores in [0, 1], one pair per cluster, in order.

    ``population`` is the number of clusters of a finite list. ``note`` says what the null input is.
    """

    def __init__(
        self, name: str, margin: float, levels: ErrorLevels, *, note: str, population: int | None = None
    ) -> None:
        self.name = name
        self.note = note
        self.gate = SequentialGate(margin, lo=-1.0, hi=1.0, levels=control_levels(levels), population=population)

    def update(self, real: Measurement, null: Measurement) -> Outcome:
        """Take further clusters; nothing is counted once decided."""
        if self.gate.outcome is Outcome.INCONCLUSIVE:
            self.gate.update(np.asarray(real.minus(null).values))
        return self.gate.outcome

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
