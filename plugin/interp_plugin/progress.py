"""Progress of a long measurement, as lines on the terminal: at a glance whether to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import pytest

from .text import printable

__all__ = ["Progress"]


class Progress:
    """Told about every batch of clusters that an assertion has drawn; writes a line now and then.

    Made when the plugin wakes, lives as long as the session. On a terminal it writes after 5 seconds of silence, into
    a pipe or a file only with ``-v`` and after 30: a log is read afterwards. Workers of xdist have no terminal and
    write nothing.
    """

    def __init__(self, config: pytest.Config, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.clock = clock
        self.last = clock()

    @cached_property
    def reporter(self) -> Any:
        # Looked up late: pytest registers its terminal reporter after the plugins of other packages are configured.
        return self.config.pluginmanager.get_plugin("terminalreporter")

    @property
    def quiet(self) -> bool:
        """Whether nothing is to be written at all."""
        return self.reporter is None or self.reporter.verbosity < (0 if self.reporter.isatty else 1)

    def start(self) -> None:
        """A test begins: count the silence from here."""
        self.last = self.clock()

    def loading(self, label: str) -> None:
        """A model is about to be loaded, during which nothing can be written."""
        if not self.quiet and self.reporter.verbosity >= 1:
            self._line(f"interp: opening {label}")

    def __call__(self, check: str, model: str, done: int, at_most: int) -> None:
        """``done`` of at most ``at_most`` clusters have been drawn for ``check``."""
        if not self.quiet and self.clock() - self.last >= (5.0 if self.reporter.isatty else 30.0):
            self._line(f"interp: {check} on {model}: {done} of at most {at_most} clusters")

    def _line(self, text: str) -> None:
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        # While a test runs, whatever reaches file descriptor 1 is captured, the reporter's own lines too.
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            self.reporter.ensure_newline()
            self.reporter.write_line(printable(text), light=True)
        self.last = self.clock()
