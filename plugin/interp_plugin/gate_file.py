"""The collector of a gate file. It is made for every gate file in a folder that pytest looks into, also where tests
beside it were asked for, so it wakes nothing until it is collected itself."""

from __future__ import annotations

import pytest

from .gate_names import is_gate_file

TYPE_CHECKING = False  # typing is not imported for it
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

__all__ = ["GateFile", "begun", "gate_file"]


class GateFile(pytest.File):
    """A gate file. What is wrong with it is one line, without a traceback."""

    def collect(self) -> Iterator[pytest.Collector]:
        from interp_assert.gates import GateProblem

        from .activation import gate_runs
        from .gates import GateNode

        try:
            run = gate_runs(self.config).opened(self.path, self.nodeid)
        except GateProblem as problem:
            raise self.CollectError(str(problem)) from None
        yield GateNode.made(self, run)


def gate_file(path: Path, parent: pytest.Collector) -> GateFile | None:
    """The collector of a file that is called like a gate: ``interp.yaml`` or ``NAME.interp.yaml``.

    Pytest gives every file that is named on the command line and lies outside the root directory the same node id, an
    empty one; here it is the path, so that two gates stay two.
    """
    if not is_gate_file(path.name):
        return None
    if parent.config.rootpath in path.parents:
        return GateFile.from_parent(parent, path=path)
    named: Any = {"nodeid": path.as_posix()}
    return GateFile.from_parent(parent, path=path, **named)


def begun(collector: GateFile) -> None:
    """Pytest turns to a gate file: the run is told of it, even if something (``--lf``) then leaves it out."""
    from .activation import activate, gate_runs

    activate(collector.config)
    gate_runs(collector.config).seen(collector.path, collector.nodeid)
