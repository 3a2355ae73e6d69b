"""From a gate file to its entries; what is wrong is one line with file, line, key and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from ..errors import UsageProblem
from .strict_yaml import LARGEST, Document, NotStrict, Path, Place, read_strictly

if TYPE_CHECKING:
    from .schema import GateFile

__all__ = ["GateProblem", "Written", "did_you_mean", "key_of", "quoted", "read_gate"]


class GateProblem(UsageProblem):
    """A gate file that cannot be used: ``FILE:LINE:COLUMN: what is wrong; what to do``."""

    def __init__(self, shown: str, place: Place | None, problem: str) -> None:
        where = "" if place is None else f":{place.line}:{place.column}"
        super().__init__(f"{shown}{where}: {' '.join(problem.split())}")
        self.line = None if place is None else place.line


class Written:
    """A gate file as it was written: its entries, and where each stands."""

    def __init__(self, shown: str, content: bytes, document: Document, entries: GateFile) -> None:
        self.shown = shown
        self.content = content
        self.document = document
        self.entries = entries

    def problem(self, path: Path, text: str) -> GateProblem:
        """The problem at ``path``, to be raised."""
        return GateProblem(self.shown, self.document.place_of(path), _at(path, text))


def read_gate(file: FilePath, shown: str | None = None) -> Written:
    """Read and validate a gate file; ``shown`` is its name in messages. Raises ``GateProblem``."""
    shown = quoted(str(file) if shown is None else shown, marks=False, at_most=300)
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise GateProblem(shown, None, f"cannot be read: {error.strerror or error}") from None
    try:
        document = read_strictly(content)
    except NotStrict as problem:
        raise GateProblem(shown, problem.place, quoted(str(problem), marks=False, at_most=300)) from None
    return Written(shown, content, document, _validated(document, shown))


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """``; did you mean 'models'?``, or the choices where none is close."""
    choices = list(choices)
    close = get_close_matches(word.replace("_", "-"), choices, n=1, cutoff=0.5)
    if not close:
        by_end = {choice.rpartition("/")[2]: choice for choice in choices}
        close = [by_end[end] for end in get_close_matches(word.rpartition("/")[2], by_end, n=1, cutoff=0.6)]
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there {'is' if len(choices) == 1 else 'are'} {', '.join(choices)}" if choices else "; there are none"


def quoted(text: str, *, marks: bool = True, at_most: int = 60) -> str:
    """Text from a file in a message: one line, escaped, not too long."""
    text = text if len(text) <= at_most else f"{text[: at_most - 3]}..."
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return f"'{shown}'" if marks else shown


def key_of(path: Path) -> str:
    """``models[0].claims.circuits/induction``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{quoted(part, marks=False)}" for part in path)
    return "".join(parts).removeprefix(".")


def _at(path: Path, text: str) -> str:
    return f"{key_of(path)}: {text}" if path else text


def _validated(document: Document, shown: str) -> GateFile:
    from pydantic import ValidationError

    from .schema import GateFile

    if document.value is None:
        raise GateProblem(shown, None, "the file is empty; `interp-assert gate init MODEL` writes a first gate")
    try:
        return GateFile.model_validate(document.value)
    except ValidationError as invalid:
        # An unknown key explains why a known one is missing.
        errors: list[Any] = sorted(
            invalid.errors(include_url=False),
            key=lambda error: (error["type"] != "extra_forbidden", document.place_of(error["loc"])),
        )
    path, problem = _told(errors[0])
    more = "" if len(errors) == 1 else f" (and {len(errors) - 1} more)"
    raise GateProblem(shown, document.place_of(errors[0]["loc"]), f"{_at(path, problem)}{more}")


def _told(error: dict[str, Any]) -> tuple[Path, str]:
    """Whose problem it is, and the problem."""
    kind, path, value, context = error["type"], tuple(error["loc"]), error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return path[:-1], f"unknown key {quoted(str(path[-1]))}{did_you_mean(str(path[-1]), _keys_at(path[:-1]))}"
    if kind == "missing":
        return path[:-1], f"{path[-1]} is missing; {_MISSING[str(path[0]) if len(path) > 1 else '']}"
    if path == ("version",):
        return path, f"{_what(value)} is no version of this format that is known here; it is 1"
    if kind == "model_type" and len(path) > 1 and path[-2] in _WRITTEN:
        wanted, instead = _WRITTEN[path[-2]]
        return path, f"{wanted} is wanted, not {_what(value)}{instead}"
    if kind == "list_type" and path[-1] == "revision":
        return path, f"a text or a list of texts is wanted, not {_what(value)}{_instead('string_type', value)}"
    if kind in _WANTED:
        return path, f"{_WANTED[kind]} is wanted, not {_what(value)}{_instead(kind, value)}"
    if kind == "literal_error":
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return path, f"{_what(value)} is none of {', '.join(choices)}"
    if kind in _COMPARED:
        word, bound = _COMPARED[kind], next(iter(context.values()))
        return path, f"a number {word} {bound:g} is wanted, not {value:g}"
    if kind == "string_pattern_mismatch":
        return path, f"{_what(value)} cannot be used; {_PATTERNS.get(str(path[-1]), '')}"
    return path, _OTHERS.get(kind, error["msg"])


_MISSING = {
    "": "name at least one model that is to be released",
    "models": "each model has one: zoo:NAME, a directory such as ./tuned, or org/name",
    "waivers": "a waiver says model, claim, reason, owner and expires",
}
_WRITTEN: dict[str | int, tuple[str, str]] = {
    "models": ("the id of a model, or a mapping with an id:,", ""),
    "claims": ("a mapping", "; write {floor: 0.5}, or nothing"),
}
"""entries that can be written in more ways than one"""
_WANTED = {
    "string_type": "a text",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_COMPARED = {
    "greater_than": "above",
    "greater_than_equal": "of at least",
    "less_than": "below",
    "less_than_equal": "of at most",
}
_PATTERNS = {
    "name": "letters, digits and _ . + - make a name, and it begins with a letter or digit",
    "sha256": "a sha256 has 64 digits of 0-9 and a-f",
}
_OTHERS = {
    "too_short": "it is empty; write at least one",
    "string_too_long": "at most 100 characters make a name",
    "finite_number": "a finite number is wanted; write one",
}


def _what(value: Any) -> str:
    """A value in words: ``the text 'on'``, ``the number 3``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"the number {quoted(str(value), marks=False)}"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    return "a list" if isinstance(value, list) else "a mapping"


def _instead(kind: str, value: Any) -> str:
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return "; put it in quotes"
    if kind == "list_type" and isinstance(value, str):
        return f"; write [{quoted(value, marks=False)}]"
    if kind == "list_type" and isinstance(value, dict):
        return "; write a - before each entry"
    if kind in ("float_type", "int_type") and isinstance(value, str) and _NUMBER.fullmatch(value):
        return "; write it without quotes"
    return ""


def _keys_at(path: Path) -> list[str]:
    """The keys that an entry may have."""
    from .schema import ClaimEntry, GateFile, LevelsEntry, ModelEntry, WaiverEntry

    entry: Any = LevelsEntry if path else GateFile
    if len(path) >= 2:
        entry = {"models": ModelEntry, "claims": ClaimEntry, "waivers": WaiverEntry}.get(str(path[-2]), entry)
    return [field.alias or name for name, field in entry.model_fields.items()]
