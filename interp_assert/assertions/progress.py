"""Who listens to progress: callbacks that hear how many clusters have been drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["report", "reporting"]

Listener = Callable[[str, str, int, int], None]
"""(check, model, done, at most)"""

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("interp_assert_progress", default=())


@contextmanager
def reporting(callback: Listener) -> Iterator[None]:
    """Tell ``callback`` how far claims are that are decided inside the ``with`` block."""
    token = _listeners.set((*_listeners.get(), callback))
    try:
        yield
    finally:
        _listeners.reset(token)


def report(check: str, model: str, done: int, at_most: int) -> None:
    """``done`` of at most ``at_most`` clusters have been drawn for ``check`` on ``model``."""
    for listener in _listeners.get():
        listener(check, model, done, at_most)
