"""What an ``assert_*`` raises: the whole story as the message, the verdict as an attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..stats import Verdict

__all__ = ["InterpAssertionError", "NotApplicable"]


class InterpAssertionError(AssertionError):
    """A claim that is not PASS. ``verdict`` holds everything; the first line names check, value, threshold, model,
    layer.
    """

    def __init__(self, verdict: Verdict) -> None:
        from .message import story

        super().__init__(story(verdict))
        self.verdict = verdict

    def __reduce__(self) -> tuple[type[InterpAssertionError], tuple[Verdict]]:
        return type(self), (self.verdict,)


class NotApplicable(InterpAssertionError):
    """The model lacks what the claim speaks of; the shipped suites skip with its reason."""
