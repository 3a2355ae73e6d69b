"""Which files are gate files, and what a gate is called that does not say it itself."""

from __future__ import annotations

from pathlib import PurePath

__all__ = ["is_gate_file", "name_of"]

_ALONE = ("interp.yaml", "interp.yml")
_ENDINGS = (".interp.yaml", ".interp.yml")


def is_gate_file(name: str) -> bool:
    """Whether a file of this name is a gate file: ``interp.yaml``, or anything that ends in ``.interp.yaml``."""
    return name in _ALONE or name.endswith(_ENDINGS)


def name_of(file: str) -> str:
    """``gates/release.interp.yaml`` -> release; ``interp.yaml`` -> interp. What cannot stand in a node id becomes -."""
    name = PurePath(file).name
    ending = next((ending for ending in _ENDINGS if name.endswith(ending)), None)
    stem = name.removesuffix(ending) if ending else "interp"
    return "".join(c if c.isalnum() or c in "_.+-" else "-" for c in stem) or "interp"
