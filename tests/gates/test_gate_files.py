"""Which files are gate files: the library and the plugin, which must not import it to know, say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from interp_assert.gates import is_gate_file
from interp_plugin.gate_file import GateFile, gate_file


@pytest.mark.parametrize(
    ("name", "is_gate"),
    [
        ("interp.yaml", True),
        ("interp.yml", True),
        ("release.interp.yaml", True),
        ("a b.interp.yml", True),
        (".interp.yaml", True),
        ("interp.yaml.bak", False),
        ("notinterp.yaml", False),
        ("release.yaml", False),
        ("release.interp.json", False),
        ("interp", False),
    ],
)
def test_a_file_is_a_gate_by_its_name(name: str, is_gate: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GateFile, "from_parent", lambda parent, path: path)
    assert is_gate_file(name) is is_gate
    assert (gate_file(Path("folder", name), None) is not None) is is_gate  # type: ignore[arg-type]
