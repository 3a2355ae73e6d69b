"""The JSON Schema of results files, for programs that read them. It is made from the shapes by which this package reads
them, and published as ``results.schema.json`` beside this module; a test holds the two together.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from . import document
from .shapes import schema_of

__all__ = ["PUBLISHED", "made_schema", "published_schema"]

PUBLISHED = "results.schema.json"


def published_schema() -> str:
    """The text of the schema as it ships."""
    return files(__package__).joinpath(PUBLISHED).read_text(encoding="utf-8")


def made_schema() -> dict[str, Any]:
    """The schema as ``document`` says."""
    parts = {name: schema_of(shape) for name, shape in document.PARTS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:interp-assert:results:{document.SCHEMA}",
        "title": "Results of a run of interp-assert",
        "description": "What --interp-json and interp-assert profile --json write. Keys beside these are free.",
        "type": "object",
        "properties": {"schema": {"const": document.SCHEMA}, **parts},
        "required": ["schema", "run", "models", "checks"],
    }


if __name__ == "__main__":
    print(json.dumps(made_schema(), indent=1))
