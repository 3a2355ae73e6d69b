"""Who listens to verdicts: the pytest plugin collects them here, whether they passed or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..stats import Verdict

__all__ = ["conclude", "record", "recording"]

_listeners: ContextVar[tuple[Callable[[Verdict], None], ...]] = ContextVar("interp_assert_recording", default=())


@contextmanager
def recording(callback: Callable[[Verdict], None]) -> Iterator[None]:
    """Hand every verdict reached inside the ``with`` block to ``callback``, before ``assert_*`` returns or raises."""
    token = _listeners.set((*_listeners.get(), callback))
    try:
        yield
    finally:
        _listeners.reset(token)


def record(verdict: Verdict) -> None:
    """Hand a verdict to every listener."""
    for listener in _listeners.get():
        listener(verdict)


def conclude(verdict: Verdict, cause: BaseException | None = None) -> Verdict:
    """Record the verdict; return it on PASS, raise InterpAssertionError (NotApplicable) otherwise, from its cause."""
    from ..stats import Outcome
    from .errors import InterpAssertionError, NotApplicable

    record(verdict)
    if verdict.outcome is Outcome.PASS:
        return verdict
    raise (NotApplicable if verdict.outcome is Outcome.NOT_APPLICABLE else InterpAssertionError)(verdict) from cause
