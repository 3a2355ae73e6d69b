"""Suites that a gate can hold, as cheap as a name."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from interp_assert.gates import Gate, read_gate, resolve
from interp_suites import SHIPPED, Suite

TODAY = date(2026, 3, 1)

SUITES = {
    suite.name: suite
    for suite in (
        *SHIPPED,
        Suite("toy", "toy_suite", checks=("toy/claim", "toy/other"), floors=(0.0, 1.0)),
        Suite("gauge", "toy_gauge"),
    )
}


def gate_of(text: str, folder: Path, *, name: str = "release.interp.yaml", today: date = TODAY) -> Gate:
    """The gate that this text is, in a file of this folder."""
    path = folder / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return resolve(read_gate(path, name), SUITES, folder, today)
