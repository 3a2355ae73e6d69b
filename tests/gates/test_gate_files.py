"""Which files are gate files: the library and the plugin, which must not import it to know, say the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

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
def test_a_file_is_a_gate_by_its_name(
    name: str, is_gate: bool, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GateFile, "from_parent", lambda parent, path, nodeid=None: path)
    parent: Any = SimpleNamespace(config=pytestconfig)
    assert is_gate_file(name) is is_gate
    assert (gate_file(pytestconfig.rootpath / name, parent) is not None) is is_gate
