"""The JSON Schema of gate files, by which editors complete and check them. It is made from the entries, and published
as ``gate.schema.json`` beside this module; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from .gate import KnownSuite

__all__ = ["PUBLISHED", "made_schema", "modeline", "published_schema"]

PUBLISHED = "gate.schema.json"


def published_schema() -> str:
    """The text of the schema as it ships."""
    return files(__package__).joinpath(PUBLISHED).read_text(encoding="utf-8")


def modeline(schema: str) -> str:
    """The first line of a gate file that tells editors where its schema lies."""
    return f"# yaml-language-server: $schema={schema}"


def made_schema(suites: Iterable[KnownSuite]) -> dict[str, Any]:
    """The schema, with the suites and checks that ship to choose from; others are allowed, for a project may have its
    own."""
    from .schema import GateFile

    deciding = [suite for suite in suites if suite.checks]
    schema: dict[str, Any] = _plain(GateFile.model_json_schema(by_alias=True))
    _offer(schema, deciding)
    for name in ("GateFile", "ModelEntry"):
        entry = schema if name == "GateFile" else schema["$defs"][name]
        claims = entry["properties"]["claims"]
        claims.pop("patternProperties", None)
        claims["propertyNames"] = {"$ref": "#/$defs/Check"}
        claims["additionalProperties"] = {"anyOf": [{"$ref": "#/$defs/ClaimEntry"}, {"type": "null"}]}
        entry["properties"]["suites"]["items"] = {"$ref": "#/$defs/Suite"}
    schema["$defs"]["WaiverEntry"]["properties"]["claim"] = {
        **schema["$defs"]["WaiverEntry"]["properties"]["claim"],
        "$ref": "#/$defs/Check",
    }
    models = schema["properties"]["models"]
    models["items"] = {"anyOf": [{"type": "string", "pattern": "\\S"}, models["items"]]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A release gate of interp-assert",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _offer(schema: dict[str, Any], suites: list[KnownSuite]) -> None:
    """Names to choose from, or any other."""
    text = {"type": "string", "pattern": "\\S"}
    schema["$defs"]["Suite"] = {"anyOf": [{"enum": [suite.name for suite in suites]}, text]}
    checks = [check for suite in suites for check in suite.checks]
    schema["$defs"]["Check"] = {"anyOf": [{"enum": checks}, {"type": "string", "pattern": "^[^/]+/.+$"}]}


def _plain(entry: Any) -> Any:
    """Without what pydantic adds and nobody reads: titles, and null where a key can be left out, not left empty."""
    if isinstance(entry, list):
        return [_plain(each) for each in entry]
    if not isinstance(entry, Mapping):
        return entry
    kept = {
        key: _plain(value)
        for key, value in entry.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None)
    }
    choices = [choice for choice in kept.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        kept = {**choices[0], **kept}
    elif choices:
        kept["anyOf"] = choices
    return kept
