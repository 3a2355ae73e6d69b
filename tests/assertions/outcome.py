"""Run an assertion to its verdict, whether it returns or raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interp_assert.assertions import InterpAssertionError
from interp_assert.stats import ControlResult, Verdict


def verdict_of(assertion: Callable[..., Verdict], *args: Any, **options: Any) -> Verdict:
    """The verdict, also of an assertion that fails."""
    try:
        return assertion(*args, **options)
    except InterpAssertionError as failure:
        return failure.verdict


def control(verdict: Verdict, name: str) -> ControlResult:
    """The control of that name."""
    return next(c for c in verdict.controls if c.name == name)
