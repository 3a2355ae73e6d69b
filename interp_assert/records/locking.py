"""One process at a time in a folder, by a lock that ends with whoever holds it, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["alone_in"]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until nobody else is in this block with the same folder. On POSIX the lock is on the folder itself, so that
    no file for it is left in one that is committed. Raises ``OSError`` where the folder cannot be opened.
    """
    if sys.platform == "win32":
        from filelock import FileLock

        with FileLock(folder / ".lock"):
            yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
