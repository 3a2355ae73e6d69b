"""What a model id means: ``zoo:NAME[@STEP]``, a directory, ``org/name[@revision]``, each optionally as ``name=...``;
and which ids ``...@all`` or a folder of checkpoints stands for."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ...errors import InterpError, ModelBroken, ModelNotFound, UsageProblem
from .checkpoints import saved_steps

__all__ = [
    "ALL",
    "GROUP",
    "ModelId",
    "each_of",
    "looks_like_path",
    "open_scheme",
    "parse_id",
    "schemes",
    "split_alias",
]

GROUP = "interp_assert.model_sources"
ALL = "all"

# Two letters at least, so that a Windows drive ("C:\models") is not taken for a scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_.+-]+):(?!//)(.*)", re.DOTALL)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9_][\w.-]*)?")
_ALIAS = re.compile(r"[A-Za-z0-9][\w.+-]*(@[\w.+-]+)?")


@dataclass(frozen=True)
class ModelId:
    """A parsed id.

    ``id`` is what reports print: the text as written, or the ``name`` of ``name=...``. ``scheme`` is ``"directory"``,
    ``"hub"`` or a registered scheme such as ``"zoo"``; ``target`` is the path, the repository or the name within the
    scheme; ``revision`` is the hub's branch, tag or commit, or the scheme's step.
    """

    id: str
    scheme: str
    target: str
    revision: str | None = None


def parse_id(text: str, revision: str | None = None) -> ModelId:
    """Parse a model id.

    A directory that exists wins over a hub repository of the same spelling, as in transformers; what starts with ``.``,
    ``/`` or ``~``, or has more than one slash, is always a directory. Directories are never split at ``@``.

    Raises UsageProblem for an empty id, for two different revisions and for a directory with a revision.
    """
    if not isinstance(text, (str, os.PathLike)):
        raise UsageProblem(
            f"a model id is a string, not {type(text).__name__}: {text!r}; use wrap(module) for a module you hold"
        )
    text = os.fspath(text).strip()
    label, target = split_alias(text)
    if not target:
        raise UsageProblem(f"empty model id {text!r}: write zoo:NAME, ./a/directory or org/name")
    if "://" in target:
        raise ModelNotFound(f"{target!r} is an address: write org/name[@revision] for a repository of the hub")
    if not looks_like_path(target):
        matched = _SCHEME.fullmatch(target)
        if matched and not Path(target).is_dir():
            name, step = _split_revision(matched[2], revision, text)
            return ModelId(label or _with_revision(target, step), matched[1], name, step)
    if looks_like_path(target) or Path(target).is_dir():
        if revision is not None:
            raise UsageProblem(
                f"{text!r} is a directory and has no revisions; revision={revision!r} cannot be used with it"
            )
        return ModelId(label or target, "directory", target)
    name, revision = _split_revision(target, revision, text)
    if not _HUB_NAME.fullmatch(name):
        raise ModelNotFound(
            f"no model {target!r}: it is no directory, and no repository can have this name; "
            "write zoo:NAME, ./a/directory or org/name[@revision]"
        )
    return ModelId(label or _with_revision(target, revision), "hub", name, revision)


def each_of(text: str) -> tuple[str, ...]:
    """The ids that an id stands for: ``zoo:all`` for every model of a scheme, ``zoo:NAME@all`` for every step of one,
    ascending; a folder without a model of its own, or ``FOLDER@all``, for every ``checkpoint-*`` in it; any other id
    for itself.

    ``name=FOLDER`` gives the steps the names ``name@500``, ``name@1000``. A scheme can be asked so if the module of its
    opener also has ``names()``, and ``checkpoints(name)`` for the steps. Raises ModelNotFound where it cannot, for an
    unknown name and for ``FOLDER@all`` without checkpoints; UsageProblem for ``name=zoo:all``.
    """
    if (steps := _steps_in(text)) is not None:
        return steps
    matched = _SCHEME.fullmatch(split_alias(text)[1])
    if matched is None or matched[1] not in schemes() or Path(text).is_dir():
        return (text,)
    scheme, (name, at, step) = matched[1], matched[2].partition("@")
    if ALL not in (name, step):
        return (text,)
    if split_alias(text)[0] is not None:
        raise UsageProblem(f"{text!r} gives one name to several models; leave it out, each has its own")
    entry = schemes()[scheme]
    entry.load()
    source = sys.modules[entry.module]
    for wanted, function in ((name, "names"), (step, "checkpoints")):
        if wanted == ALL and not hasattr(source, function):
            raise ModelNotFound(f"{text!r}: the source {scheme!r} does not list its {function}; name one")
    members = source.names() if name == ALL else (name,)
    if step == ALL:
        return tuple(f"{scheme}:{member}@{each}" for member in members for each in source.checkpoints(member))
    return tuple(f"{scheme}:{member}{at}{step}" for member in members)


def _steps_in(text: str) -> tuple[str, ...] | None:
    """The checkpoints of the folder that ``text`` names; None if it names a model, or no folder."""
    label, target = split_alias(text)
    name, at, step = target.rpartition("@")
    every = at and step == ALL and not Path(target).exists() and _directory(name) is not None
    folder = name if every else target
    directory = _directory(folder)
    if directory is None or (not every and (directory / "config.json").exists()):
        return None
    found = saved_steps(directory)
    if not found:
        if every:
            raise ModelNotFound(f"{text!r}: no directory checkpoint-* lies in {folder}")
        return None
    if label is not None and "@" in label:
        raise UsageProblem(f"{text!r} gives one step to {len(found)} checkpoints; write {label.partition('@')[0]}=")
    place = folder.rstrip("/")
    written = [(number, f"{place}/{path.name}") for number, path in found]
    return tuple(path if label is None else f"{label}@{number}={path}" for number, path in written)


def _directory(text: str) -> Path | None:
    """The directory that ``text`` names, if there is one; ``~nobody`` is none."""
    try:
        place = Path(text).expanduser()
    except RuntimeError:
        return None
    return place if place.is_dir() else None


def schemes() -> dict[str, EntryPoint]:
    """The registered schemes, by name; each loads to ``opener(name, step) -> Path`` of a model directory."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def open_scheme(parsed: ModelId) -> Path:
    """The directory that a registered scheme keeps ``parsed`` in.

    Raises ModelNotFound for an unknown scheme (naming those there are) or an unknown name within it.
    """
    known = schemes()
    if parsed.scheme not in known:
        choices = ", ".join(f"{name}:NAME" for name in sorted(known)) or "none is registered"
        raise ModelNotFound(
            f"no model {parsed.id!r}: unknown scheme {parsed.scheme!r} ({choices}); a directory is written ./dir, a "
            "repository org/name"
        )
    if ALL in (parsed.target, parsed.revision):
        raise ModelNotFound(f"{parsed.id!r} stands for several models: load one of {', '.join(each_of(parsed.id))}")
    opener: Any = known[parsed.scheme].load()
    try:
        directory = Path(opener(parsed.target, parsed.revision))
    except InterpError:
        raise
    except (LookupError, FileNotFoundError, ValueError) as error:
        raise ModelNotFound(f"no model {parsed.id!r}: {error}") from error
    if not directory.is_dir():
        raise ModelBroken(f"{parsed.id}: the source {parsed.scheme!r} names {directory}, which is not a directory")
    return directory


def split_alias(text: str) -> tuple[str | None, str]:
    """``name=./dir`` -> (name, ./dir); without a name (None, text)."""
    label, equals, target = text.partition("=")
    if equals and _ALIAS.fullmatch(label) and not Path(text).exists():
        return label, target.strip()
    return None, text


def looks_like_path(target: str) -> bool:
    """Whether it can only be a directory, there or not: it begins with ``.``, ``/`` or ``~``, or has more than one
    slash before a revision."""
    if target.startswith((".", "/", "~", "\\")) or "\\" in target or os.path.isabs(target):
        return True
    return target.partition("@")[0].count("/") > 1  # a revision may have slashes, such as refs/pr/1


def _split_revision(target: str, revision: str | None, text: str) -> tuple[str, str | None]:
    name, at, written = target.partition("@")
    if at and not written:
        raise UsageProblem(f"{text!r} ends in '@' without a revision")
    if at and revision is not None and revision != written:
        raise UsageProblem(f"two revisions for one model: {written!r} in {text!r} and revision={revision!r}")
    return name, written if at else revision


def _with_revision(target: str, revision: str | None) -> str:
    return target if revision is None or "@" in target else f"{target}@{revision}"
