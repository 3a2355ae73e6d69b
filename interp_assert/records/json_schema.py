"""The JSON Schema of results files, for programs that read them. It is made from the tables by which this package reads
them, and published as ``results.schema.json`` beside this module; a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from . import document

__all__ = ["PUBLISHED", "made_schema", "published_schema"]

PUBLISHED = "results.schema.json"

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}
_END = {"type": ["number", "null"]}
_INTERVAL = {"type": ["array", "null"], "items": _END, "minItems": 2, "maxItems": 2}
_VERDICT = {"enum": list(document.VERDICTS)}


def published_schema() -> str:
    """The text of the schema as it ships."""
    return files(__package__).joinpath(PUBLISHED).read_text(encoding="utf-8")


def made_schema() -> dict[str, Any]:
    """The schema as the tables of ``document`` say."""
    measured = {"verdict": _VERDICT, "interval": _INTERVAL}
    parts = {
        "run": _object(document.RUN),
        "models": _list(_object(document.MODEL)),
        "checks": _list(
            _object(document.CHECK, **measured, controls=_list(_object(document.CONTROL, **measured))),
        ),
        "profiles": _list(
            _object(document.PROFILE, figures=_list(_object(document.FIGURE, interval=_INTERVAL))),
        ),
        "baselines": _list(
            _object(
                document.BASELINE,
                interval=_INTERVAL,
                verdict={"enum": [*document.VERDICTS, None]},
                status={"enum": list(document.STATUSES)},
            )
        ),
        "gates": _list(
            _object(
                document.GATE,
                models=_list(_object(document.GATE_MODEL)),
                claims=_list(_object(document.GATE_CLAIM)),
                tests=_list(_object(document.GATE_TEST)),
            )
        ),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:interp-assert:results:{document.SCHEMA}",
        "title": "Results of a run of interp-assert",
        "description": "What --interp-json and interp-assert profile --json write. Keys beside these are free.",
        "type": "object",
        "properties": {"schema": {"const": document.SCHEMA}, **parts},
        "required": ["schema", "run", "models", "checks"],
    }


def _object(keys: Mapping[str, tuple[type, ...]], **closer: Any) -> dict[str, Any]:
    """An object with these keys; ``closer`` says more of some of them than their type."""
    return {
        "type": "object",
        "properties": {key: closer.get(key, _type(kinds)) for key, kinds in keys.items()},
        "required": list(keys),
    }


def _type(kinds: tuple[type, ...]) -> dict[str, Any]:
    names = [_TYPES[kind] for kind in kinds if kind is not type(None)]
    if "number" in names:
        names = [name for name in names if name != "integer"]
    if type(None) in kinds:
        names.append("null")
    return {"type": names[0] if len(names) == 1 else names}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


if __name__ == "__main__":
    print(json.dumps(made_schema(), indent=1))
