"""Labelled texts from where users keep them: CSV and JSONL files, rows in memory, ``datasets`` objects."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import UsageProblem
from .labelled import LabelledTexts

__all__ = ["read_labelled"]

Row = Mapping[str, Any]

_KNOWN_CLASSES = (("0", "1"), ("false", "true"), ("no", "yes"), ("negative", "positive"), ("neg", "pos"))
_NO_GROUP = "group=None makes every text a group of its own, if no two of them belong together"


def read_labelled(
    source: str | PathLike[str] | Iterable[Row],
    *,
    text: str = "text",
    label: str = "label",
    group: str | None = "group",
    classes: Sequence[str] | None = None,
    name: str | None = None,
) -> LabelledTexts:
    """Labelled texts from a file that ends with .csv, .jsonl or .ndjson (UTF-8), from rows as mappings, or from one
    split of a ``datasets`` object.

    ``text``, ``label`` and ``group`` are the names of the columns; without a group column, ``group=None`` makes every
    text a group of its own. Labels are 0 and 1, booleans, a ``ClassLabel`` of two names, words such as "no" and
    "yes", or any two words that ``classes=(negative, positive)`` puts in order.

    Raises UsageProblem for a file or column that is not there, a line that cannot be read, a missing value, or labels
    that are not two-valued: with the place, the value and the remedy.
    """
    rows, features = _rows(source)
    name = name if name is not None else Path(source).stem if isinstance(source, (str, PathLike)) else "rows"
    if not rows:
        raise UsageProblem(f"data set {name!r} is empty; give texts of both classes")
    columns = [column for column in (text, label, group) if column is not None]
    for place, row in enumerate(rows):
        for column in columns:
            if row.get(column) is None:
                raise UsageProblem(_missing(name, place, row, column, column == group))
    named = _names(features, label) if classes is None else tuple(str(word) for word in classes)
    labels, known = _as_labels(name, [row[label] for row in rows], named)
    return LabelledTexts(
        name,
        tuple(str(row[text]) for row in rows),
        tuple(labels),
        tuple(str(place) if group is None else str(row[group]) for place, row in enumerate(rows)),
        known,
    )


def _rows(source: str | PathLike[str] | Iterable[Row]) -> tuple[list[Row], Any]:
    if isinstance(source, (str, PathLike)):
        return _file_rows(Path(source)), None
    if isinstance(source, Mapping):
        raise UsageProblem(
            f"a mapping with the keys {', '.join(map(str, source))} is no list of rows; of a dataset with splits give "
            'one, such as data["train"]'
        )
    rows = list(source)
    wrong = next((place for place, row in enumerate(rows) if not isinstance(row, Mapping)), None)
    if wrong is not None:
        raise UsageProblem(f"row {wrong} is a {type(rows[wrong]).__name__}; rows map column names to values")
    return rows, getattr(source, "features", None)


def _file_rows(path: Path) -> list[Row]:
    if not path.is_file():
        raise UsageProblem(f"no file {str(path)!r}; give a .csv or .jsonl file")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise UsageProblem(f"{path} is not UTF-8 ({problem}); save it as UTF-8") from problem
    if path.suffix.lower() == ".csv":
        return list(csv.DictReader(content.splitlines(keepends=True)))
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        raise UsageProblem(f"{path}: files that end with {path.suffix or 'nothing'} are not read; use .csv or .jsonl")
    rows: list[Row] = []
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as problem:
            raise UsageProblem(
                f"{path}, line {number} is no JSON ({problem}); write one object on each line"
            ) from problem
        if not isinstance(row, dict):
            raise UsageProblem(f"{path}, line {number} holds a {type(row).__name__}; write one object on each line")
        rows.append(row)
    return rows


def _missing(name: str, place: int, row: Row, column: str, is_group: bool) -> str:
    have = ", ".join(str(key) for key in row if key is not None)
    if column in row:
        return f"data set {name!r}, row {place} has no value for {column!r}; complete or remove it"
    remedy = f"name the column with {'group' if is_group else 'text or label'}=..."
    return f"data set {name!r}, row {place} has no column {column!r}, but {have}; {remedy}" + (
        f", or {_NO_GROUP}" if is_group else ""
    )


def _names(features: Any, label: str) -> tuple[str, ...] | None:
    """The names of a ClassLabel."""
    names = None if features is None else getattr(features.get(label), "names", None)
    return tuple(names) if names else None


def _as_labels(name: str, values: Sequence[Any], classes: tuple[str, ...] | None) -> tuple[list[int], tuple[str, str]]:
    if classes is not None and len(classes) != 2:
        raise UsageProblem(
            f"data set {name!r}: {len(classes)} classes ({', '.join(classes)}); a probe tells two apart: keep two"
        )
    if all(not isinstance(value, str) and value in (0, 1) for value in values):
        return [int(value) for value in values], classes or ("0", "1")
    words = [str(value) for value in values]
    found = sorted(set(words))
    if classes is None:
        lower = {word.lower() for word in found}
        known = next((pair for pair in _KNOWN_CLASSES if lower <= set(pair)), None)
        if known is not None:
            return [known.index(word.lower()) for word in words], known
        if len(found) == 2:
            raise UsageProblem(
                f"data set {name!r}: which of {found[0]!r} and {found[1]!r} is the positive class? "
                f"say classes=({found[0]!r}, {found[1]!r}) or the other way round"
            )
        shown = ", ".join(repr(word) for word in found[:4]) + (", ..." if len(found) > 4 else "")
        raise UsageProblem(
            f"data set {name!r}: the labels take {len(found)} values ({shown}); a probe tells two classes apart: "
            "keep two, or map them to 0 and 1"
        )
    wrong = next((place for place, word in enumerate(words) if word not in classes), None)
    if wrong is not None:
        raise UsageProblem(
            f"data set {name!r}, row {wrong}: label {words[wrong]!r} is neither {classes[0]!r} nor {classes[1]!r}"
        )
    return [classes.index(word) for word in words], (classes[0], classes[1])
