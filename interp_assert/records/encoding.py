"""Verdicts with their measurements as JSON, and back again exactly: what a cache keeps of them.

Only builtins, arrays of numbers and the few classes that a verdict is made of have a form here. Nothing is ever run to
bring them back, as unpickling would.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from typing import Any

import numpy as np

from ..stats import Asked, ControlResult, Cost, ErrorLevels, Measurement, Outcome, Verdict

__all__ = ["CannotEncode", "decoded", "encoded"]

CLASSES: dict[str, type] = {
    kind.__name__: kind for kind in (Asked, ControlResult, Cost, ErrorLevels, Measurement, Verdict)
}


class CannotEncode(TypeError):
    """Something that has no form here."""


def encoded(value: Any) -> str:
    """``value`` as JSON; raises CannotEncode naming the type of what has no form."""
    return json.dumps(_plain(value), allow_nan=False, separators=(",", ":"))


def decoded(text: str | bytes) -> Any:
    """The inverse of ``encoded``; raises ValueError (or what a constructor raises) for anything else."""
    return _restored(json.loads(text))


def _plain(value: Any) -> Any:
    if isinstance(value, Outcome):
        return {"$outcome": value.value}
    if value is None or isinstance(value, (bool, int, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if isfinite(value) else {"$float": repr(value)}
    if isinstance(value, np.ndarray):
        return {"$array": _array(value)}
    if isinstance(value, tuple):
        return {"$tuple": [_plain(part) for part in value]}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _plain(part) for key, part in value.items()}
        return {"$mapping": [[_plain(key), _plain(part)] for key, part in value.items()]}
    name = type(value).__name__
    known = CLASSES.get(name)
    if known is None or known is not type(value):
        raise CannotEncode(f"a {name} has no form in the cache")
    return {"$object": [name, {entry.name: _plain(getattr(value, entry.name)) for entry in fields(known)}]}


def _array(value: np.ndarray) -> list[Any]:
    if value.dtype.kind not in "biuf":
        raise CannotEncode(f"an array of {value.dtype} has no form in the cache")
    return [value.dtype.str, list(value.shape), base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()]


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(part) for part in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or not (tag := next(iter(value))).startswith("$"):
        return {key: _restored(part) for key, part in value.items()}
    inner = value[tag]
    if tag == "$outcome":
        return Outcome(inner)
    if tag == "$float":
        return float(inner)
    if tag == "$tuple":
        return tuple(_restored(part) for part in inner)
    if tag == "$mapping":
        return {_restored(key): _restored(part) for key, part in inner}
    if tag == "$array":
        dtype, shape, raw = inner
        return np.frombuffer(base64.b64decode(raw, validate=True), dtype=np.dtype(dtype)).reshape(shape).copy()
    if tag == "$object":
        name, parts = inner
        return CLASSES[name](**{key: _restored(part) for key, part in parts.items()})
    raise ValueError(f"unknown tag {tag!r}")
