"""A YAML document as plain values, with the place of each in the file; whatever could surprise is refused.

YAML 1.2's core schema: ``on``, ``yes`` and dates are strings, ``1e-4`` is a number. No tags, anchors, aliases, merge
keys or duplicate keys, and limits on size and depth, so that no file, however hostile, makes more than it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from ..errors import UsageProblem

__all__ = ["LARGEST", "Document", "NotStrict", "Place", "read_strictly"]

LARGEST = 256 * 1024
"""bytes of a file; a gate over a hundred models has a tenth of that"""
DEEPEST = 16
MOST = 20_000
"""keys, values and entries of lists, all together"""
MOST_DIGITS = 300

_STANDARD = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}

Path = tuple[str | int, ...]


class Place(NamedTuple):
    """Where something stands in the file, counted from 1."""

    line: int
    column: int


class NotStrict(UsageProblem):
    """What is wrong with the text, and where it is."""

    def __init__(self, problem: str, place: Place | None) -> None:
        super().__init__(problem)
        self.place = place


@dataclass(frozen=True)
class Document:
    """The values (dicts, lists, strings, numbers, True, False, None), and where the key or entry at each path begins;
    ``()`` is the document itself."""

    value: Any
    places: dict[Path, Place]

    def place_of(self, path: Path) -> Place:
        """Of the deepest part of ``path`` that the document has."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def read_strictly(content: bytes) -> Document:
    """Parse UTF-8 YAML. Raises ``NotStrict``."""
    if len(content) > LARGEST:
        raise NotStrict(f"the file has {len(content):,} bytes, at most {LARGEST:,} are read", None)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        problem = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise NotStrict(problem, Place(line, column)) from None
    try:
        return _Builder(text).document()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = ord(text[error.position])
        raise NotStrict(f"the character U+{code:04X} may not stand in YAML; remove it", Place(line, 1)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = None if mark is None else Place(mark.line + 1, mark.column + 1)
        told = " ".join(filter(None, (error.context, error.problem)))
        raise NotStrict(f"this is not YAML: {told}{_advice(text, told, place)}", place) from None


def _advice(text: str, told: str, place: Place | None) -> str:
    """What most often is behind a mistake of the syntax."""
    line = "" if place is None else [*text.splitlines(), ""][place.line - 1]
    if place is not None and "\t" in line[: len(line) - len(line.lstrip())] + line[place.column - 1 : place.column]:
        return "; write spaces, YAML has no tabs"
    return "; look at the indentation of this line" if "expected <block end>" in told else ""


class _Builder:
    """Turns the parser's events into values, one at a time: what is refused is refused before more is read."""

    def __init__(self, text: str) -> None:
        self.events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
        self.places: dict[Path, Place] = {(): Place(1, 1)}
        self.count = 0

    def document(self) -> Document:
        value = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise NotStrict("a second document begins here (---); one file holds one", _place(event))
            elif not isinstance(event, (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentEndEvent)):
                value = self.node(event, ())
        return Document(value, self.places)

    def node(self, event: Any, path: Path) -> Any:
        place = _place(event)
        self.count += 1
        if self.count > MOST:
            raise NotStrict(f"the file holds more than {MOST:,} values", place)
        if isinstance(event, yaml.AliasEvent):
            raise NotStrict(f"*{event.anchor} is an alias; write out what it stands for", place)
        if event.anchor is not None:
            raise NotStrict(f"&{event.anchor} is an anchor, and aliases are not read; remove it", place)
        if event.tag is not None:
            raise NotStrict(f"{_tag(event.tag)} is a tag; remove it, values have the type that they look like", place)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event, place)
        if len(path) >= DEEPEST:
            raise NotStrict(f"more than {DEEPEST} levels lie inside each other", place)
        return self.mapping(path) if isinstance(event, yaml.MappingStartEvent) else self.sequence(path)

    def mapping(self, path: Path) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            place = _place(event)
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                raise NotStrict("a list or mapping cannot be a key", place)
            key = self.node(event, path)
            if not isinstance(key, str):
                raise NotStrict("a key is a text; put this one in quotes", place)
            if key == "<<":
                raise NotStrict("<< merges mappings, and is not read; write out the keys", place)
            if key in entries:
                first = self.places[(*path, key)]
                raise NotStrict(f"the key {key!r} stands here again; it is in line {first.line} already", place)
            self.places[(*path, key)] = place
            entries[key] = self.node(next(self.events), (*path, key))
        return entries

    def sequence(self, path: Path) -> list[Any]:
        entries: list[Any] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            here = (*path, len(entries))
            self.places[here] = _place(event)
            entries.append(self.node(event, here))
        return entries


def _scalar(event: Any, place: Place) -> Any:
    """The value of a plain scalar by the core schema; what is quoted is a string."""
    text: str = event.value
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise NotStrict("half of a surrogate pair is no character; remove it", place)
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text):
        if len(text) > MOST_DIGITS:
            raise NotStrict(f"a number of {len(text)} characters", place)
        return int(text) if _INTEGER.fullmatch(text) else float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _tag(tag: str) -> str:
    return "!!" + tag.removeprefix(_STANDARD) if tag.startswith(_STANDARD) else tag
