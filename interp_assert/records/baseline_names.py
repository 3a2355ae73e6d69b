"""Under which name the baseline of a model is kept: its own or the one it was given, never a path."""

from __future__ import annotations

import hashlib
import re

from ..models.sources.ids import parse_id, split_alias

__all__ = ["baseline_name", "file_name"]

_SAFE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._+-]*[A-Za-z0-9_+])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST = 100


def baseline_name(id: str) -> str | None:
    """What stays the same from one checkpoint to the next: the ``name`` of ``name=...`` and ``name@step=...``,
    ``org/name`` without its revision, ``zoo:NAME`` without its step. None for a directory without a name: a path says
    nothing about what lies there.
    """
    parsed = parse_id(id)
    given, _ = split_alias(id.strip())
    if given is not None:
        return given.partition("@")[0]
    if parsed.scheme == "directory":
        return None
    return parsed.target if parsed.scheme == "hub" else f"{parsed.scheme}:{parsed.target}"


def file_name(name: str) -> str:
    """A file name for any text: readable, without a separator, safe on every system.

    ``org/name`` becomes ``org--name.json`` and ``zoo:gpt2`` ``zoo-gpt2.json``; where more would have to be changed, or
    ``--`` would be ambiguous, a digest of the whole text stands at the end. (A model called ``zoo-gpt2`` would still
    share a file with ``zoo:gpt2``: the file says whose it is, and is refused to others.)
    """
    plain = name.replace("/", "--", 1).replace(":", "-", 1)
    safe = _SAFE.fullmatch(plain) and not any(part in plain for part in ("..", "---")) and "--" not in name
    if safe and not _RESERVED.fullmatch(plain) and len(plain) <= _LONGEST:
        return f"{plain}.json"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    rest = re.sub(r"[^A-Za-z0-9_+-]+", "-", plain).strip("-")[: _LONGEST - 24]
    return f"{rest or 'model'}-{digest}.json"
