"""What decides a measurement besides model and arguments: this package's code, the libraries and the processor."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .provenance import library_versions

__all__ = ["environment"]

LIBRARIES = ("interp-assert", "torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy")
GROUPS = ("interp_assert.families", "interp_assert.model_sources")
"""entry points whose code takes part in what a model computes, or in which model it is"""


@cache
def environment() -> dict[str, Any]:
    """Builtins that are equal as long as the same call gives the same numbers. Versions alone would not do: whoever
    works on this package changes its code between two runs.
    """
    return {
        "code": digest_of_tree(Path(__file__).parents[1]),
        "extensions": [f"{entry.group}:{entry.name}={_of_module(entry.module)}" for entry in _extensions()],
        "versions": {"python": platform.python_version(), **library_versions(LIBRARIES)},
        "machine": [platform.machine(), platform.processor(), platform.system()],
        "devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "threads": [os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")],
    }


def _extensions() -> list[Any]:
    return sorted((entry for group in GROUPS for entry in entry_points(group=group)), key=lambda e: (e.group, e.name))


def _of_module(module: str) -> str | None:
    """The digest of the folder that a module is or stands in, of the file of one that stands alone; None if there is
    none. Nothing is imported for it: the packages of families bring torch along.
    """
    top, *inner = module.split(".")
    try:
        found = find_spec(top)
    except (ImportError, ValueError):
        return None
    places = None if found is None else found.submodule_search_locations
    if found is None or (places is None and (found.origin is None or not Path(found.origin).is_file())):
        return None
    if places is None:
        return hashlib.sha256(Path(str(found.origin)).read_bytes()).hexdigest()
    folders = [folder for place in places for folder in (Path(place, *inner), Path(place, *inner[:-1]))]
    return next((digest_of_tree(folder, "*.py") for folder in folders if folder.is_dir()), None)


def digest_of_tree(folder: Path, pattern: str = "*") -> str:
    """One digest over the names and contents of all files in a folder, compiled ones left out."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob(pattern)):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
