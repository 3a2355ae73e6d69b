"""What was measured once: where a run finds the verdicts that this machine has reached before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from interp_fixtures.loaded import loaded_models

from .plan import Plan

if TYPE_CHECKING:
    from interp_assert.records.remembered import Remembered

__all__ = ["RunMemory"]


class RunMemory:
    """Of one process. Opened when the first test that uses a model begins, in the folder ``d/interp`` of pytest's cache
    directory; absent without one (``-p no:cacheprovider``) and with ``--interp-no-cache``.
    """

    def __init__(self, config: pytest.Config, plan: Plan) -> None:
        self.config = config
        self.wanted = not plan.chosen["no-cache"].value
        self.problem: str | None = None
        self._opened: Remembered | None = None

    def open(self) -> Remembered | None:
        """The memory, or None; the models of this process are told of it."""
        cache = getattr(self.config, "cache", None)
        if not self.wanted or cache is None:
            return None
        if self._opened is None and self.problem is None:
            from interp_assert.records.remembered import open_memory

            try:
                folder = cache.mkdir("interp")
                found = open_memory(folder, outside=folder.parents[1])
            except OSError as error:
                found = f"{error.filename or 'the cache directory'}: {error.strerror or error}"
            if isinstance(found, str):
                self.problem = found
            else:
                self._opened = loaded_models(self.config).memory = found
        return self._opened

    def told(self) -> dict[str, Any]:
        """What the controller should know since it was last told, in builtins."""
        told: dict[str, Any] = {"problem": self.problem, "distrusted": 0}
        if self._opened is not None:
            store = self._opened.store
            told = {"problem": store.problem, "distrusted": store.distrusted}
            store.problem, store.distrusted = None, 0
        return told
