"""The limits that drift is held against, each with its own gate: exact for what is bounded, approximate for the rest.

Total variation and top-1 agreement lie in [0, 1] for every document and go through the exact sequential gate. KL and
likelihood have no bound, relative movement and CKA are ratios of means, and a cosine limit close to 1 is a tiny part
of its range: these go through t-tests at four looks, and say so. A limit on the residual stream holds if it holds at
every block.
"""

from __future__ import annotations

import numpy as np

from ...errors import UsageProblem
from ...measures import DriftScores, TextDrift, WeightDrift
from ...stats import ControlResult, ErrorLevels, Outcome, RatioGate, SequentialGate
from .every_entry import AtEveryEntry
from .gated import Gated
from .limits import LIMITS, LimitKind

__all__ = ["gated"]


class _Bounded(Gated):
    """Exact: a score in [0, 1] for every document."""

    def __init__(self, kind: LimitKind, limit: float, levels: ErrorLevels, population: int | None) -> None:
        super().__init__(kind, limit, levels)
        self.gate = SequentialGate(limit, levels=levels, population=population, direction=kind.direction)

    @property
    def reached(self) -> Outcome:
        return self.gate.outcome

    def update(self, scores: DriftScores) -> None:
        if self.gate.outcome is Outcome.INCONCLUSIVE:
            self.gate.update(getattr(scores, self.kind.name).values)

    def figures(self) -> tuple[float | None, tuple[float, float] | None, int]:
        return self.gate.estimate, self.gate.interval if self.gate.n else None, self.gate.n

    def needed(self) -> int | None:
        return self.gate.needed()

    def least(self) -> int | None:
        return self.gate.least()


class _ByText(Gated):
    """Approximate: nats per character that the model predicts each text worse than the base, whatever the tokens."""

    approximate = True
    needs_text = False
    whole_texts = True

    def __init__(self, kind: LimitKind, limit: float, levels: ErrorLevels) -> None:
        super().__init__(kind, limit, levels)
        self.gate = RatioGate(limit, levels=levels)
        self.read = 0

    @property
    def reached(self) -> Outcome:
        return self.gate.outcome

    def take(self, drift: TextDrift) -> None:
        values = drift.lost.values
        if len(values) > self.read:
            self.gate.update(values[self.read :])
            self.read = len(values)

    def figures(self) -> tuple[float | None, tuple[float, float] | None, int]:
        return self.gate.estimate, self.gate.interval if self.gate.n else None, self.gate.n

    def needed(self) -> int | None:
        return self.gate.needed()


class _Weights(Gated):
    """Exact without any text: the weights are what they are."""

    needs_text = False

    def __init__(self, kind: LimitKind, limit: float, levels: ErrorLevels, measured: WeightDrift) -> None:
        super().__init__(kind, limit, levels)
        self.values = np.array([measured.outside, *measured.blocks])
        if not np.isfinite(self.values).all():
            raise UsageProblem("weights that were all 0 in the base have no relative distance; leave that limit out")

    @property
    def reached(self) -> Outcome:
        return Outcome.PASS if self.values.max() <= self.limit else Outcome.FAIL

    @property
    def layer(self) -> str:
        worst = int(self.values.argmax())
        return "outside the blocks" if worst == 0 else f"block {worst}"

    def figures(self) -> tuple[float | None, tuple[float, float] | None, int]:
        value = float(self.values.max())
        return value, (value, value), len(self.values)


class _Missing(Gated):
    """Not applicable, for a reason."""

    needs_text = False

    def __init__(self, kind: LimitKind, limit: float, levels: ErrorLevels, reason: str) -> None:
        super().__init__(kind, limit, levels)
        self.reason = reason

    @property
    def reached(self) -> Outcome:
        return Outcome.NOT_APPLICABLE

    def figures(self) -> tuple[float | None, tuple[float, float] | None, int]:
        return None, None, 0

    def result(self) -> ControlResult:
        details = {"limit": self.kind.name, "direction": self.kind.direction}
        return ControlResult(
            self.kind.title, Outcome.NOT_APPLICABLE, None, None, self.limit, 0, False, True, self.reason, details
        )


def gated(
    limits: dict[str, float],
    levels: ErrorLevels,
    *,
    population: int | None,
    no_text: str | None,
    no_residual: str | None,
    entries: int,
    weights: WeightDrift | str,
    no_whole_text: str | None = None,
) -> list[Gated]:
    """A gate for each limit on output, residual stream or weights; NOT_APPLICABLE where the reason says why."""
    found: list[Gated] = []
    for name, limit in limits.items():
        kind = LIMITS[name]
        if kind.part == "weights":
            missing = weights if isinstance(weights, str) else None
            found.append(
                _Missing(kind, limit, levels, missing) if missing else _Weights(kind, limit, levels, weights)  # type: ignore[arg-type]
            )
        elif kind.part == "claims":
            continue
        elif name == "by_text":
            found.append(
                _ByText(kind, limit, levels) if no_whole_text is None else _Missing(kind, limit, levels, no_whole_text)
            )
        elif no_text is not None or (kind.part == "residual" and no_residual is not None):
            found.append(_Missing(kind, limit, levels, no_text or no_residual or ""))
        elif name in ("total_variation", "agreement"):
            found.append(_Bounded(kind, limit, levels, population))
        else:
            found.append(AtEveryEntry(kind, limit, levels, entries if kind.part == "residual" else 1))
    return found
