"""A folder of signed entries, each under the digest of what it is about: what was measured once is found again.

An entry is a file: its signature (HMAC-SHA256 with a key that lies elsewhere), then what it is about and what was kept.
Nothing in a file is even parsed before its signature holds, and an entry that stands under another name than its own is
not taken. Whatever is damaged or was not written with this key is measured again and replaced. Entries are written in
one piece, so any number of processes may read and write; the folder stays below its limit, and what has not been used
for longest goes first.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Any

from .encoding import CannotEncode, decoded, encoded

__all__ = ["MOST_BYTES", "EntryStore"]

MOST_BYTES = 128 * 2**20
"""of a folder; an entry of a few hundred clusters takes some 50 kB"""

_ENTRY = re.compile(r"[0-9a-f]{64}\.entry")
_TEMPORARY = re.compile(r"\.interp-[\w-]+\.tmp")
_SIGNATURE = 64
_PURPOSE = b"interp-assert cache 1\0"
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class EntryStore:
    """Made with a folder that exists, and the key.

    Attributes:
        distrusted: files that stood where an entry was looked for, and were damaged or not written with this key.
        problem: why the last entry could not be kept, or None.
    """

    def __init__(self, folder: Path, key: bytes, *, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self.distrusted = 0
        self.problem: str | None = None
        self._key = key
        self._most_bytes = most_bytes

    def get(self, address: Any) -> Any | None:
        """What was kept under this address, if this key wrote it; None otherwise."""
        about = _text(address)
        path = self._path(about)
        try:
            content = _read(path, self._most_bytes)
        except FileNotFoundError:
            return None
        except OSError:
            self.distrusted += 1
            return None
        value = self._opened(content, about)
        if value is None:
            self.distrusted += 1
            return None
        _touch(path)
        return value

    def put(self, address: Any, value: Any) -> None:
        """Keep a value. What cannot be encoded, or written, is not kept: ``problem`` says why."""
        about = _text(address)
        try:
            payload = (about + "\n" + encoded(value) + "\n").encode()
        except CannotEncode as problem:
            self.problem = str(problem)
            return
        if len(payload) + _SIGNATURE + 1 > self._most_bytes:
            self.problem = f"an entry of {len(payload):,} bytes is larger than the whole cache may be"
            return
        try:
            self._write(self._path(about), self._signature(payload).encode() + b"\n" + payload)
            self._make_room()
        except OSError as error:
            self.problem = f"{self.folder}: {error.strerror or error}"

    def _path(self, about: str) -> Path:
        return self.folder / f"{hashlib.sha256(about.encode()).hexdigest()}.entry"

    def _signature(self, payload: bytes) -> str:
        return hmac.new(self._key, _PURPOSE + payload, "sha256").hexdigest()

    def _opened(self, content: bytes, about: str) -> Any | None:
        signature, newline, payload = content[:_SIGNATURE], content[_SIGNATURE:][:1], content[_SIGNATURE + 1 :]
        if newline != b"\n" or not hmac.compare_digest(signature, self._signature(payload).encode()):
            return None
        stands_for, _, kept = payload.partition(b"\n")
        return decoded(kept) if stands_for == about.encode() else None

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self.folder, prefix=".interp-", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _make_room(self) -> None:
        """Remove what was used longest ago until the rest fits; files that are not ours stay."""
        ours = [(entry, facts) for entry in os.scandir(self.folder) if (facts := _facts_of_ours(entry)) is not None]
        total = sum(facts.st_size for _, facts in ours)
        for entry, facts in sorted(ours, key=lambda pair: pair[1].st_mtime_ns):
            if total <= self._most_bytes:
                return
            Path(entry.path).unlink(missing_ok=True)
            total -= facts.st_size


def _text(address: Any) -> str:
    return json.dumps(address, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _read(path: Path, most_bytes: int) -> bytes:
    """The bytes of an ordinary file; OSError for a link, a pipe (which could be waited for in vain), or too much."""
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as stream:
        facts = os.fstat(stream.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > most_bytes:
            raise OSError(f"{path} is no entry")
        return stream.read()


def _touch(path: Path) -> None:
    """It has been used: others go before it."""
    try:
        os.utime(path)
    except OSError:  # a folder that can only be read
        return


def _facts_of_ours(entry: os.DirEntry[str]) -> os.stat_result | None:
    if _ENTRY.fullmatch(entry.name) is None and _TEMPORARY.fullmatch(entry.name) is None:
        return None
    try:
        return entry.stat(follow_symlinks=False) if entry.is_file(follow_symlinks=False) else None
    except OSError:  # another process was faster
        return None
