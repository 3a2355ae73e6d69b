"""What a part of a JSON document may be: said once, checked by the reader, and written out as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageProblem

__all__ = ["INTERVAL", "Interval", "Leaf", "ListOf", "MapOf", "OneOf", "Part", "Shape", "check_shape", "schema_of"]

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}


@dataclass(frozen=True)
class Leaf:
    """A value of one of these types; ``type(None)`` is null."""

    kinds: tuple[type, ...]


@dataclass(frozen=True)
class OneOf:
    """One of these words, or null where ``null`` says so."""

    words: tuple[str, ...]
    null: bool = False


@dataclass(frozen=True)
class Interval:
    """Null, or [low, high], each a number or null."""


@dataclass(frozen=True)
class ListOf:
    """A list of such entries."""

    entry: Shape


@dataclass(frozen=True)
class MapOf:
    """An object whose keys are names from outside, each with such an entry."""

    entry: Shape


@dataclass(frozen=True)
class Part:
    """An object: ``keys`` must be there, ``told`` may be; further keys are free. ``null``: or nothing at all."""

    keys: Mapping[str, Shape]
    told: Mapping[str, Shape] = field(default_factory=dict)
    null: bool = False


Shape = Leaf | OneOf | Interval | ListOf | MapOf | Part
INTERVAL = Interval()


def check_shape(value: Any, shape: Shape, where: str) -> None:
    """Raise UsageProblem naming the first place under ``where`` that is not as the shape says."""
    if isinstance(shape, Part):
        if value is None and shape.null:
            return
        if not isinstance(value, Mapping):
            raise UsageProblem(f"{where} is a {type(value).__name__}, not an object")
        for key in shape.keys:
            if key not in value:
                raise UsageProblem(f"{where} has no {key!r}")
        for key, inner in {**shape.keys, **shape.told}.items():
            if key in value:
                check_shape(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, MapOf):
        if not isinstance(value, Mapping):
            raise UsageProblem(f"{where} is a {type(value).__name__}, not an object")
        for key, entry in value.items():
            check_shape(entry, shape.entry, f"{where}.{key}")
    elif isinstance(shape, ListOf):
        if not isinstance(value, (list, tuple)):
            raise UsageProblem(f"{where} is {value!r}, not list")
        for place, entry in enumerate(value):
            check_shape(entry, shape.entry, f"{where}[{place}]")
    elif isinstance(shape, OneOf):
        if value not in shape.words and not (shape.null and value is None):
            raise UsageProblem(f"{where} is {value!r}, not one of {', '.join(shape.words)}")
    elif isinstance(shape, Interval):
        if value is not None and not (isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_end, value))):
            raise UsageProblem(f"{where} is {value!r}, not [low, high]")
    elif not isinstance(value, shape.kinds) or (isinstance(value, bool) and bool not in shape.kinds):
        wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in shape.kinds)
        raise UsageProblem(f"{where} is {value!r}, not {wanted}")


def schema_of(shape: Shape) -> dict[str, Any]:
    """The same as JSON Schema."""
    if isinstance(shape, Part):
        part = {
            "type": ["object", "null"] if shape.null else "object",
            "properties": {key: schema_of(inner) for key, inner in {**shape.keys, **shape.told}.items()},
        }
        return {**part, "required": list(shape.keys)} if shape.keys else part
    if isinstance(shape, MapOf):
        return {"type": "object", "additionalProperties": schema_of(shape.entry)}
    if isinstance(shape, ListOf):
        return {"type": "array", "items": schema_of(shape.entry)}
    if isinstance(shape, OneOf):
        return {"enum": [*shape.words, None] if shape.null else list(shape.words)}
    if isinstance(shape, Interval):
        end = {"type": ["number", "null"]}
        return {"type": ["array", "null"], "items": end, "minItems": 2, "maxItems": 2}
    names = [_NAMES[kind] for kind in shape.kinds if kind is not type(None)]
    if "number" in names:
        names = [name for name in names if name != "integer"]
    if type(None) in shape.kinds:
        names.append("null")
    return {"type": names[0] if len(names) == 1 else names}


def _end(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
