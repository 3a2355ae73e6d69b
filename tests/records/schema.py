"""What the published schema says of a document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interp_assert.records.json_schema import published_schema

__all__ = ["departures"]


def departures(document: Any) -> list[str]:
    """Where a document departs from the schema of results files, and how; skips the test without ``jsonschema``."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads(published_schema()))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
