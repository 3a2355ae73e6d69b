"""A disk that is full and folders that cannot be written, as the system itself makes them."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["full_disk", "read_only"]

NOBODY = 65534


@contextmanager
def full_disk(room: int = 100) -> Iterator[None]:
    """No file can grow beyond ``room`` bytes: what is written in one go stops half way, with an OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A copy of ``folder`` that may be read and not written, root or not."""
    home = Path(tempfile.mkdtemp())
    copy = home / "copy"
    shutil.copytree(folder, copy)
    for path in (home, copy, *copy.rglob("*")):
        os.chmod(path, 0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield copy
    finally:
        if root:
            os.seteuid(0)
        for path in (home, copy):
            os.chmod(path, 0o755)
        shutil.rmtree(home)
