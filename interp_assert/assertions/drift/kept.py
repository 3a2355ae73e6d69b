"""A claim that holds of the base and that the model has to keep.

How much was lost is decided exactly. A claim that the base itself does not meet cannot be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...controls import TwinScore
from ...stats import ControlResult, ErrorLevels, Outcome, SequentialGate
from .gated import Gated
from .limits import LIMITS

if TYPE_CHECKING:
    from ...models import Model

__all__ = ["REPORTED", "KeptClaim"]

REPORTED = 32
"""sequences that are enough to say whether a model does induction, where no limit asks for more"""


class KeptClaim(Gated):
    """One claim that the base meets and the model has to keep, as it is being decided.

    ``missing`` says why it cannot be lost or compared; such a claim is reported, not counted.
    """

    needs_text = False
    name: str

    def __init__(self, model: Model, base: Model, limit: float, levels: ErrorLevels) -> None:
        super().__init__(LIMITS["claims_lost"], limit, levels)
        self.model, self.base = model, base
        self.missing = ""
        self.gate: SequentialGate | None = None

    @property
    def reached(self) -> Outcome:
        if self.missing or self.gate is None:
            return Outcome.NOT_APPLICABLE
        return self.gate.outcome

    def draw(self, start: int, count: int) -> None:
        """Let both models do further clusters."""

    def conclude(self) -> None:
        """Leave the claim out if the base was not shown to meet it."""

    @property
    def drawn(self) -> int:
        """Clusters drawn so far."""
        raise NotImplementedError

    @property
    def settled(self) -> bool:
        """Whether further clusters can change nothing."""
        return self.outcome is not Outcome.INCONCLUSIVE

    def figures(self) -> tuple[float | None, tuple[float, float] | None, int]:
        if self.missing or self.gate is None or not self.gate.n:
            return None, None, 0
        return self.gate.estimate, self.gate.interval, self.gate.n

    def needed(self) -> int | None:
        return None if self.gate is None else self.gate.needed()

    def not_compared(self) -> dict[str, Any]:
        """The report of a claim of which nothing was measured."""
        return {"claim": self.name, "flipped": False, "told": f"not compared: {self.missing}", "missing": self.missing}

    def result(self) -> ControlResult:
        estimate, interval, n = self.figures()
        details = {"limit": self.kind.name, "claim": self.name, "direction": "lower", "needed": self.needed()}
        note = f"{self.name}: {self.missing}" if self.missing else self.report()["told"]
        return ControlResult(
            f"{self.name} lost", self.outcome, estimate, interval, self.limit, n, False, True, note, details
        )

    def report(self) -> dict[str, Any]:
        """What it was under the base and is under the model, as builtins: ``flipped``, the ``change`` in short, and a
        sentence ``told``.
        """
        raise NotImplementedError

    def own_score(self) -> TwinScore:
        """The model's score, to be compared with that of its random-weight twins."""
        raise NotImplementedError

    def twin_score(self, twin: Model) -> TwinScore:
        """The same of a twin, on the same clusters."""
        raise NotImplementedError
