"""What a call of an assertion is about, as builtins: equal for equal calls, different for different ones.

The address of a call holds the function, every argument and the files of every model, so that what was measured once
can be found again under it. Whatever has no such address (a module in memory, a function of the user's without a
version) is measured each time.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, cached_property
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..measures import OwnMeasurement
    from ..models import Model

__all__ = ["NoAddress", "address_of", "address_of_model"]

OURS = ("interp_assert", "interp_suites")
"""packages whose functions are what their name says: the code of both is part of the environment"""


METHODS = (FunctionType, property, cached_property, classmethod, staticmethod)
WRITTEN_BY_DATACLASS = frozenset(
    {
        *("__init__", "__post_init__", "__repr__", "__eq__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__"),
        *("__setattr__", "__delattr__", "__replace__", "__getstate__", "__setstate__"),
    }
)


class NoAddress(Exception):
    """Something among the arguments cannot be told apart from others of its kind."""


def address_of(value: Any) -> Any:
    """``value`` in JSON-safe builtins; raises NoAddress where it has no content that could be compared."""
    if value is None or isinstance(value, (bool, int, str)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, Enum):
        return {"enum": [type(value).__qualname__, address_of(value.value)]}
    if isinstance(value, (list, tuple)):
        return [address_of(part) for part in value]
    if isinstance(value, Mapping):
        return {"mapping": sorted(([address_of(k), address_of(v)] for k, v in value.items()), key=repr)}
    return _of_object(value)


def _of_object(value: Any) -> Any:
    from ..measures import OwnMeasurement
    from ..models import Model

    if isinstance(value, Model):
        return address_of_model(value)
    if isinstance(value, OwnMeasurement):
        return _of_measurement(value)
    if is_dataclass(value) and not isinstance(value, type):
        _refuse_foreign_methods(type(value))
        parts = {entry.name: address_of(getattr(value, entry.name)) for entry in fields(value)}
        return {"object": [f"{type(value).__module__}.{type(value).__qualname__}", parts]}
    if type(value).__module__ == "numpy" and hasattr(value, "dtype"):
        return _of_array(value)
    if inspect.isfunction(value):
        return _of_function(value)
    if _is_torch_module(value):
        return _of_coder(value)
    raise NoAddress(f"a {type(value).__name__}")


def _refuse_foreign_methods(kind: type) -> None:
    """A user's record is what its fields hold; one with methods of its own may read anything, at any time."""
    for part in kind.__mro__:
        if part is object or part.__module__.partition(".")[0] in (*OURS, "typing"):
            continue
        for name, member in vars(part).items():
            if isinstance(member, METHODS) and name not in WRITTEN_BY_DATACLASS:
                raise NoAddress(f"a {kind.__qualname__}, whose {name} may do anything")


def address_of_model(model: Model) -> Any:
    """The digests of all files that decide what it computes, the name that verdicts call it by, and how it is opened;
    nothing is opened for it. NoAddress for a module that the user holds, whose code no digest covers, for one that may
    have been changed since it was opened, and where a conftest.py or the like has stated something about an
    architecture.
    """
    from ..models import Model as Handle
    from ..models.families.origins import registered_by_hand

    if not isinstance(model, Handle):
        raise NoAddress(f"a {type(model).__name__}")
    identity, opening = model.identity, model.source.opening()
    if opening is None:
        raise NoAddress(f"a model of kind {identity.kind}")
    model.watch()
    if not model.as_opened:
        raise NoAddress("a model that may have been changed since it was opened")
    if by_hand := registered_by_hand():
        raise NoAddress(f"a model about whose family {by_hand[0]} may have stated something")
    return {
        "model": {
            **identity.as_dict(),
            "files": dict(sorted(identity.files.items())),
            "opening": {name: address_of(value) for name, value in opening.items()},
            "batch_tokens": model.batch_tokens,
        }
    }


def _of_measurement(own: OwnMeasurement) -> Any:
    """Its name and version, and the files that its functions stand in: what they call elsewhere is what the version is
    raised for.
    """
    parts = {name: _declared(getattr(own, name)) for name in ("function", "prompts", "null", "train")}
    plain = {name: address_of(getattr(own, name)) for name in ("name", "version", "lo", "hi", "direction", "unit")}
    return {"measurement": {**plain, **parts}}


def _declared(part: Any) -> Any:
    from ..prompts import Endless

    if isinstance(part, Endless):
        return {"endless": [_declared(part.make), part.seed]}
    return _of_file_of(part) if inspect.isfunction(part) else address_of(part)


def _of_file_of(function: Callable[..., Any]) -> Any:
    return {"function": [function.__module__, function.__qualname__, _digest_of_source(function), _closure(function)]}


def _of_function(function: Callable[..., Any]) -> Any:
    """A function of ours, by its name and what it has closed over; others may call anything."""
    if function.__module__.partition(".")[0] not in OURS:
        raise NoAddress(f"the function {function.__qualname__}: use @measurement, which has a version")
    return _of_file_of(function)


def _closure(function: Any) -> Any:
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return [address_of(part) for part in (*cells, *(function.__defaults__ or ()), function.__kwdefaults__)]


def _digest_of_source(function: Callable[..., Any]) -> str:
    try:
        path = inspect.getsourcefile(function)
    except TypeError:
        path = None
    if path is None or not Path(path).is_file():
        raise NoAddress(f"the function {function.__qualname__}, which stands in no file")
    return _digest_of_file(path)


@cache
def _digest_of_file(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _of_array(value: Any) -> Any:
    if value.dtype.kind not in "biuf":
        raise NoAddress(f"an array of {value.dtype}")
    return {"array": [value.dtype.str, list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]}


def _is_torch_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _of_coder(value: Any) -> Any:
    """A sparse coder of ours: its class, its settings and its weights."""
    from ..models.sources.identity import digest_of_state

    if type(value).__module__.partition(".")[0] not in OURS:
        raise NoAddress(f"a {type(value).__name__}")
    settings = {name: part for name, part in vars(value).items() if not name.startswith("_") and name != "training"}
    return {"coder": [type(value).__qualname__, address_of(settings), digest_of_state(value.state_dict())]}
