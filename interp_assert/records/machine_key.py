"""The key with which this machine signs what it keeps, so that it knows again what it wrote itself.

It lies with the user's own state, never in the project or its cache folder: whoever can put files there (a cache
restored in CI, an archive that was unpacked) cannot sign them. What signs is made of the key and of when and where its
file came into being on this disk, which nobody can choose: a key that was copied, restored from a backup or baked into
the image of a container signs otherwise than the one that it was, and whoever has read that one cannot sign for it.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
import sys
import tempfile
from pathlib import Path

from .locking import alone_in

__all__ = ["NoKey", "key_path", "machine_key"]

LENGTH = 32
"""bytes"""


class NoKey(Exception):
    """There is no key that could be trusted, and why."""


def key_path() -> Path:
    """``interp-assert/cache.key`` under ``$XDG_STATE_HOME``, ``%LOCALAPPDATA%`` on Windows, or ``~/.local/state``.

    Raises NoKey where there is no home directory.
    """
    given = os.environ.get("XDG_STATE_HOME") or (os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None)
    if given and os.path.isabs(given):
        return Path(given) / "interp-assert" / "cache.key"
    try:
        return Path.home() / ".local" / "state" / "interp-assert" / "cache.key"
    except RuntimeError as error:
        raise NoKey(str(error)) from error


def machine_key(outside: Path) -> bytes:
    """What this machine signs with, made on first use; of two processes that make it at once both get the same one.

    Raises NoKey if it lies within ``outside`` (what others may write), can be read or written by others, is damaged,
    or cannot be written.
    """
    path = key_path()
    try:
        if path.parent.resolve().is_relative_to(outside.resolve()):
            raise NoKey(f"{path} lies within {outside}, where others may write")
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with alone_in(path.parent):
                _make(path)
        return _read(path)
    except OSError as error:
        raise NoKey(f"{path}: {error.strerror or error}") from error


def _make(path: Path) -> None:
    """Nobody else makes it meanwhile; it is not there before it is whole, and its file is not touched any more then."""
    if path.exists():
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".cache.key.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(LENGTH))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        facts = os.fstat(stream.fileno())
        key = stream.read(LENGTH + 1)
    if hasattr(os, "getuid") and (facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077):
        raise NoKey(f"{path} belongs to somebody else, or can be read or written by others; delete it")
    if len(key) != LENGTH:
        raise NoKey(f"{path} is damaged; delete it")
    return hmac.digest(key, f"{facts.st_ino} {facts.st_ctime_ns}".encode(), "sha256")
