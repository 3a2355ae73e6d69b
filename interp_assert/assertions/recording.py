"""Who listens to verdicts: the pytest plugin collects them here, whether they passed or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..stats import Asked, Verdict

__all__ = ["asking", "conclude", "record", "recording"]

_asked: ContextVar[Asked | None] = ContextVar("interp_assert_asked", default=None)
_listeners: ContextVar[tuple[Callable[[Verdict], None], ...]] = ContextVar("interp_assert_recording", default=())


@contextmanager
def recording(callback: Callable[[Verdict], None]) -> Iterator[None]:
    """Hand every verdict reached inside the ``with`` block to ``callback``, before ``assert_*`` returns or raises."""
    token = _listeners.set((*_listeners.get(), callback))
    try:
        yield
    finally:
        _listeners.reset(token)


@contextmanager
def asking(asked: Asked) -> Iterator[None]:
    """Every verdict concluded inside the ``with`` block says that this is what was asked."""
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def record(verdict: Verdict) -> None:
    """Hand a verdict to every listener."""
    for listener in _listeners.get():
        listener(verdict)


def conclude(verdict: Verdict, cause: BaseException | None = None) -> Verdict:
    """Record the verdict; return it on PASS, raise InterpAssertionError (NotApplicable) otherwise, from its cause."""
    from ..stats import Outcome
    from .errors import InterpAssertionError, NotApplicable

    asked = _asked.get()
    if asked is not None and verdict.asked != asked:
        verdict = replace(verdict, asked=asked)
    record(verdict)
    if verdict.outcome is Outcome.PASS:
        return verdict
    raise (NotApplicable if verdict.outcome is Outcome.NOT_APPLICABLE else InterpAssertionError)(verdict) from cause
