"""Who listens to profiles: the pytest plugin collects them here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .figure import Profile

__all__ = ["made_known", "profiling"]

_listeners: ContextVar[tuple[Callable[[Profile], None], ...]] = ContextVar("interp_assert_profiling", default=())


@contextmanager
def profiling(callback: Callable[[Profile], None]) -> Iterator[None]:
    """Hand every profile made inside the ``with`` block to ``callback``."""
    token = _listeners.set((*_listeners.get(), callback))
    try:
        yield
    finally:
        _listeners.reset(token)


def made_known(profile: Profile) -> None:
    """Hand a profile to every listener."""
    for listener in _listeners.get():
        listener(profile)
