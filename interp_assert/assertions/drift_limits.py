"""The limits that drift is held against, each with its own gate: exact for what is bounded, approximate for the rest.

Total variation and top-1 agreement lie in [0, 1] for every document and go through the exact sequential gate. KL has
no bound, relative movement and CKA are ratios of means, and a cosine limit close to 1 is a tiny part of its range:
these go through t-tests at four looks, and say so. A limit on the residual stream holds if it holds at every block.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from ..measures import DriftScores, ResidualDrift, WeightDrift
from ..stats import ControlResult, ErrorLevels, Outcome, RatioGate, SequentialGate
from ..stats.approximate import LOOKS
from .drift_kinds import LIMITS, LimitKind

__all__ = ["Gated", "gated"]


class Gated:
    """One limit as it is being decided: fed with documents, it ends as a ``ControlResult``."""

    def __init__(self, kind: LimitKind, limit: float, levels: ErrorLevels) -> None:
        self.kind = kind
        self.limit = limit
        self.levels = levels
        self.certain = ""
        """why it holds without any doubt, if it does"""

    approximate = False
    needs_text = True

    @property
    def outcome(self) -> Outcome:
        """Where it stands."""
        reached = self.reached
        return Outcome.PASS if self.certain and reached is Outcome.INCONCLUSIVE else reached

    @property
    def reached(self) -> Outcome:
        """What its gate says."""
        raise NotImplementedError

    def update(self, scores: DriftScores) -> None:
        """Take further documents."""

    def figures(self) -> tuple[float | None, tuple[float, float] | None, int]:
        """Estimate, interval and the clusters counted."""
        raise NotImplementedError

    def stated(self) -> tuple[float | None, tuple[float, float] | None, int]:
        """The figures; what is certain has no interval but itself."""
        estimate, interval, n = self.figures()
        return estimate, interval if estimate is None or not self.certain else (estimate, estimate), n

    def needed(self) -> int | None:
        """Clusters in all that a decision would probably need."""
        return None

    @property
    def layer(self) -> str | None:
        """Where the estimate was found, if at one block."""
        return None

    def result(self) -> ControlResult:
        """The limit's own verdict where it stands."""
        estimate, interval, n = self.stated()
        note = "; ".join(text for text in (self.layer, self.certain) if text)
        details = {"limit": self.kind.name, "direction": self.kind.direction, "needed": self.needed()}
        return ControlResult(
            self.kind.title, self.outcome, estimate, interval, self.limit, n, self.approximate, True, note, details
        )


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


Pairs = Callable[[ResidualDrift, int], tuple[NDArray[np.float64], Any]]


class _AtEveryEntry(Gated):
    """Approximate: means or ratios of means, one gate for the output or for each entry of the residual stream.

    All must hold, so each is tested at the full level for PASS; any may fail, so the level for FAIL is divided. Where
    not one bit differed on any document (below the first block that was tuned) there is no spread to test, and nothing
    to doubt: there the limit holds.
    """

    approximate = True

    def __init__(self, kind: LimitKind, limit: float, levels: ErrorLevels, entries: int) -> None:
        super().__init__(kind, limit, levels)
        each = ErrorLevels(pass_=levels.pass_, fail=levels.fail / entries, control=levels.control)
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
        elif no_text is not None or (kind.part == "residual" and no_residual is not None):
            found.append(_Missing(kind, limit, levels, no_text or no_residual or ""))
        elif name in ("total_variation", "agreement"):
            found.append(_Bounded(kind, limit, levels, population))
        else:
            found.append(_AtEveryEntry(kind, limit, levels, entries if kind.part == "residual" else 1))
    return found


def _where(entry: int) -> str:
    return "the embedding" if entry == 0 else f"block {entry}"
