"""Release gates: what a file says that models must be shown to do, and the verdict on a run over it.

Names are fetched on first use: pydantic and yaml are loaded where a gate file is read, and only there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .file_names import is_gate_file as is_gate_file
    from .gate import Gate as Gate
    from .gate import GateClaim as GateClaim
    from .gate import GateModel as GateModel
    from .gate import KnownSuite as KnownSuite
    from .gate import Waiver as Waiver
    from .reading import GateProblem as GateProblem
    from .reading import read_gate as read_gate
    from .resolving import resolve as resolve
    from .verdict import GateVerdict as GateVerdict
    from .verdict import Release as Release
    from .verdict import decide as decide
    from .verdict import decide_all as decide_all

_MODULES = {
    "Gate": "gate",
    "GateClaim": "gate",
    "GateModel": "gate",
    "GateProblem": "reading",
    "GateVerdict": "verdict",
    "KnownSuite": "gate",
    "Release": "verdict",
    "Waiver": "gate",
    "decide": "verdict",
    "decide_all": "verdict",
    "is_gate_file": "file_names",
    "read_gate": "reading",
    "resolve": "resolving",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    try:
        module = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
