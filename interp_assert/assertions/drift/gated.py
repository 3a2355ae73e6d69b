"""One limit on drift as it is being decided."""

from __future__ import annotations

from ...measures import DriftScores, TextDrift
from ...stats import ControlResult, ErrorLevels, Outcome
from .limits import LimitKind

__all__ = ["Gated"]


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
    """whether it is fed with documents that both read token by token"""
    whole_texts = False
    """whether it is fed with documents that each reads in its own tokens"""

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

    def take(self, drift: TextDrift) -> None:
        """Take all texts that were read so far."""

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

    def least(self) -> int | None:
        """Clusters without which it cannot PASS, even if nothing moved; None if that is not a matter of clusters."""
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
