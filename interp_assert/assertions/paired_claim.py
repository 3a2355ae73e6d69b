"""A claim about a score that has a null input: the score is above a floor, or above the null input by a margin."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ..controls import PairedControl
from ..stats import ControlResult, ErrorLevels, Measurement, Outcome, SequentialGate

__all__ = ["PairedClaim"]


class PairedClaim:
    """Its gate, and the comparison with the null input beside it, fed together cluster by cluster.

    Without a floor the comparison *is* the claim: they share one gate, at the claim's error levels, so that a control's
    level cannot fail it earlier. With a floor the comparison is a control with a gate of its own.
    """

    def __init__(
        self,
        control: PairedControl,
        floor: float | None,
        levels: ErrorLevels,
        *,
        lo: float = 0.0,
        hi: float = 1.0,
        direction: Literal["higher", "lower"] = "higher",
    ) -> None:
        self.control = control
        self.relative = floor is None
        compared = control.gate
        if floor is None:
            self.gate = SequentialGate(
                compared.threshold, lo=compared.lo, hi=compared.hi, levels=levels, population=compared.population
            )
            control.gate = self.gate
            control.note += "; this is the claim itself, at the claim's error levels"
        else:
            self.gate = SequentialGate(
                floor, lo=lo, hi=hi, levels=levels, population=compared.population, direction=direction
            )

    def update(self, real: Measurement, null: Measurement, scores: Measurement | None = None) -> None:
        """Take further clusters; ``scores`` are what is held against the floor, if that is not ``real`` itself."""
        self.control.update(real, null)
        if not self.relative and self.gate.outcome is Outcome.INCONCLUSIVE:
            self.gate.update((real if scores is None else scores).values)

    def outcomes(self) -> list[Outcome]:
        """Of the claim and, if it has a gate of its own, of the control."""
        return [self.gate.outcome] if self.relative else [self.gate.outcome, self.control.gate.outcome]

    def control_result(self) -> ControlResult:
        """The comparison with the null input; ``details["is_claim"]`` says whether it is the claim."""
        result = self.control.result()
        return replace(result, details={**result.details, "is_claim": self.relative})
