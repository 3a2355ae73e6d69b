"""What a test case in JUnit XML says of a verdict: properties made of the record that stands in the results file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .printing import printable

__all__ = ["verdict_properties"]

_KEYS = ("verdict", "estimate", "interval", "threshold", "n", "levels")


def verdict_properties(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """``interp``, the verdict in one line, then ``interp.CHECK.verdict``, ``.estimate``, ``.interval``, ``.threshold``,
    ``.n`` and ``.levels``: each value as in the results file, in JSON where it is no word.

    ``record`` is an entry of ``checks``.
    """
    estimate, threshold = record["estimate"], record["threshold"]
    numbers = "" if estimate is None or threshold is None else f" {estimate:.4g} against {threshold:.4g}"
    line = f"{record['check']} {record['model']} {record['verdict']}{numbers} n={record['n']}"
    properties = [("interp", line), (f"interp.{record['check']}.model", record["model"])]
    for key in _KEYS:
        value = record.get(key)
        properties.append((f"interp.{record['check']}.{key}", value if isinstance(value, str) else json.dumps(value)))
    return [(printable(name), printable(value)) for name, value in properties]
