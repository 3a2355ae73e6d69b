"""Which models the entries of a gate file mean: directories beside the file, revisions, checkpoints."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import UsageProblem
from .schema import ModelEntry

__all__ = ["coder_directory", "each_model", "named_model"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def each_model(entry: ModelEntry, folder: Path) -> list[tuple[str, str]]:
    """(id to open, label in reports) of every model that an entry stands for: one per revision, all checkpoints of
    ``zoo:NAME@all``, or of a folder of ``checkpoint-*``.

    Raises UsageProblem or ModelNotFound for ids that cannot be.
    """
    from ..models.sources.ids import each_of, looks_like_path, parse_id, split_alias

    if "," in entry.id:
        raise UsageProblem("one model is wanted; write revision: [A, B] for several revisions of it")
    revisions = entry.revision or []
    if looks_like_path(split_alias(entry.id)[1]):
        if revisions:
            raise UsageProblem("a directory has no revisions; name the directory of each")
        return [(each, parse_id(each).id) for each in each_of(named_model(entry.id, folder, entry.name)[0])]
    if len(set(revisions)) < len(revisions):
        raise UsageProblem("a revision is named twice")
    if revisions and "@" in entry.id:
        raise UsageProblem("it has a revision already, and revision: names more; write one of them")
    written = [f"{entry.id}@{revision}" for revision in revisions] or [entry.id]
    ids = [each for one in written for each in each_of(one)]
    if not ids:
        raise UsageProblem("no model is meant by it")
    if entry.name is not None and len(ids) > 1:
        raise UsageProblem(f"name: {entry.name} is one name for {len(ids)} models; leave it out, each has its own")
    return [named_model(id, folder, entry.name) for id in ids]


def named_model(text: str, folder: Path, name: str | None = None) -> tuple[str, str]:
    """(id to open, label) of one model. A directory is relative to ``folder``, whatever the current one is, and is
    called by its last part unless it has a ``name``."""
    from ..models.sources.ids import looks_like_path, parse_id, split_alias

    alias, target = split_alias(text.strip())
    if alias is not None and name is not None:
        raise UsageProblem(f"two names, {alias} and {name}; write one of them")
    name = alias if alias is not None else name
    if looks_like_path(target) and "://" not in target:
        directory = Path(os.path.abspath(folder / Path(target).expanduser()))
        name = directory.name.removesuffix("@all") if name is None else name
        if not _NAME.fullmatch(name):
            raise UsageProblem(
                f"a model cannot be called {name!r}; write NAME={text}, with letters, digits and _ . + -"
            )
        return f"{name}={directory}", name
    parsed = parse_id(target)
    if parsed.scheme == "directory":
        raise UsageProblem(f"{target} is a directory of the current folder; write ./{target}, relative to this file")
    return (target, parsed.id) if name is None else (f"{name}={target}", name)


def coder_directory(text: str, folder: Path) -> Path:
    """Where a sparse autoencoder lies. Raises UsageProblem where nothing does."""
    directory = Path(os.path.abspath(folder / Path(text).expanduser()))
    if not directory.is_dir():
        raise UsageProblem(f"no directory {text!r} beside this file")
    return directory
