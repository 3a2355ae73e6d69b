"""Where a run took place: versions, platform and the state of the code under git."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["git_state", "library_versions", "run_provenance"]

_LIBRARIES = ("interp-assert", "pytest", "torch", "transformers", "numpy", "scipy")


def run_provenance(directory: Path) -> dict[str, Any]:
    """Versions (read from package metadata; nothing is imported), platform and git state of ``directory``; builtins
    only."""
    return {
        "versions": {"python": platform.python_version(), **library_versions(_LIBRARIES)},
        "platform": platform.platform(),
        "git": git_state(directory),
    }


def git_state(directory: Path) -> dict[str, Any] | None:
    """``{"commit": ..., "changed": whether tracked files differ from it}``; None outside a repository or without
    git."""
    try:
        commit = _git(directory, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git(directory, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def library_versions(names: Iterable[str]) -> dict[str, str | None]:
    """The versions of what is installed, None for what is not."""
    return {name: _version(name) for name in names}


def _git(directory: Path, *arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, text=True, check=True, timeout=10)
    return ran.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
