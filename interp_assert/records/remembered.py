"""Verdicts and facts about models that this machine reached before, in a store of signed entries."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..stats import Cost, Verdict
from .cache import EntryStore
from .environment import environment
from .machine_key import NoKey, machine_key

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["Remembered", "open_memory"]


class Remembered:
    """The ``Memory`` of a pytest run: verdicts by the address of their call, provenance by that of the model.

    A verdict that comes back costs nothing and says what it cost the first time; everything else in it is as it was.
    """

    def __init__(self, store: EntryStore) -> None:
        self.store = store

    def recall(self, address: Any) -> Verdict | None:
        """The verdict that this machine reached on the same call."""
        clock = time.perf_counter()
        kept = self.store.get(self._about("verdict", address))
        if not isinstance(kept, Verdict):
            return None
        return replace(kept, cost=Cost(seconds=time.perf_counter() - clock), remembered=kept.cost)

    def keep(self, address: Any, verdict: Verdict) -> None:
        """Remember a verdict that was measured."""
        if verdict.remembered is None:
            self.store.put(self._about("verdict", address), verdict)

    def provenance(self, model: Model) -> dict[str, Any] | None:
        """What the model said of itself when it was last opened and proven here with the same files; None if it was
        not.
        """
        about = self._model(model)
        kept = None if about is None else self.store.get(about)
        return kept if isinstance(kept, dict) else None

    def keep_provenance(self, model: Model, facts: dict[str, Any]) -> None:
        """The model could be opened and its anatomy was proven: it need not be done again for what is known."""
        about = self._model(model)
        if about is not None:
            self.store.put(about, facts)

    def _model(self, model: Model) -> Any | None:
        from ..assertions.addresses import NoAddress, address_of_model

        try:
            return self._about("model", address_of_model(model))
        except NoAddress:
            return None

    def _about(self, kind: str, address: Any) -> Any:
        return {"kind": kind, "about": address, "environment": environment()}


def open_memory(folder: Path, outside: Path) -> Remembered | str:
    """The memory in a folder that exists; or why there can be none. The key must not lie within ``outside``, the whole
    cache directory.

    A folder that is a link would have others' files written and removed: it is refused.
    """
    try:
        if folder.is_symlink() or folder.parent.is_symlink():
            return f"{folder} is a symbolic link"
        return Remembered(EntryStore(folder, machine_key(outside)))
    except OSError as error:
        return f"{folder}: {error.strerror or error}"
    except NoKey as problem:
        return str(problem)
