"""Labelled texts from where users keep them: CSV and JSONL files, rows in memory, ``datasets`` objects."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageProblem
from .labelled import LabelledTexts, shortened

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

    Raises UsageProblem for a file or column that is not there, a line that cannot be read, a missing value (nothing, a
    blank cell, NaN), a text that is no string, or labels that are not two-valued: with the place, the value and the
    remedy. Rows are counted from 0, the header aside.
    """
    rows, features = _rows(source)
    name = name if name is not None else Path(source).stem if isinstance(source, (str, PathLike)) else "rows"
    if not rows:
        raise UsageProblem(f"data set {name!r} is empty; give texts of both classes")
    columns = {what: column for what, column in (("text", text), ("label", label), ("group", group)) if column}
    for place, row in enumerate(rows):
        for what, column in columns.items():
            if _blank(row.get(column)):
                raise UsageProblem(_missing(name, place, row, what, column))
        if not isinstance(row[text], str):
            raise UsageProblem(
                f"data set {name!r}, row {place}: {text!r} is {shortened(str(row[text]))}, of type "
                f"{type(row[text]).__name__}; texts are strings, name their column with text=..."
            )
    named = _names(features, label) if classes is None else tuple(str(word) for word in classes)
    labels, known = _as_labels(name, [row[label] for row in rows], named)
    return LabelledTexts(
        name,
        tuple(row[text] for row in rows),
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
    if not isinstance(source, Iterable):
        raise UsageProblem(f"{source!r} holds no labelled texts; give a file, rows as mappings, or a dataset")
    rows = list(source)
    wrong = next((place for place, row in enumerate(rows) if not isinstance(row, Mapping)), None)
    if wrong is not None:
        remedy = '; of a data frame give frame.to_dict("records")' if hasattr(source, "to_dict") else ""
        raise UsageProblem(f"row {wrong} is a {type(rows[wrong]).__name__}; rows map column names to values{remedy}")
    return rows, getattr(source, "features", None)


def _file_rows(path: Path) -> list[Row]:
    if not path.is_file():
        raise UsageProblem(f"no file {str(path)!r}; give a .csv or .jsonl file")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise UsageProblem(f"{path} is not UTF-8 ({problem}); save it as UTF-8") from problem
    if path.suffix.lower() == ".csv":
        return _csv_rows(path, content)
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


def _csv_rows(path: Path, content: str) -> list[Row]:
    """Refuses what a lenient reader would cut or join without a word."""
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    rows: list[Row] = []
    try:
        columns = list(reader.fieldnames or ())
        twice = next((column for column in columns if columns.count(column) > 1), None)
        if twice is not None:
            raise UsageProblem(f"{path} has two columns {twice!r}; rename one")
        for row in reader:
            if None in row:
                raise UsageProblem(
                    f"{path}, line {reader.line_num} has {len(columns) + len(row[None])} cells for {len(columns)} "
                    "columns; put texts that hold commas into double quotes"
                )
            rows.append(row)
    except csv.Error as problem:
        raise UsageProblem(
            f"{path}, the row behind line {reader.line_num} is no CSV ({problem}); put texts into double quotes, "
            f"double the quotes within, and cut texts of more than {csv.field_size_limit():,} characters"
        ) from problem
    return rows


def _blank(value: Any) -> bool:
    """Whether a cell holds nothing."""
    if isinstance(value, str):
        return not value.strip()
    missing = value is None or type(value).__name__ in ("NAType", "NaTType")  # pandas has two more
    return missing or (isinstance(value, Real) and isnan(value))


def _missing(name: str, place: int, row: Row, what: str, column: str) -> str:
    alone = f" ({_NO_GROUP})" if what == "group" else ""
    if column in row:
        return f"data set {name!r}, row {place} has no value for {column!r}; complete or remove it{alone}"
    have = ", ".join(str(key) for key in row if key is not None)
    remedy = f"name the column with {what}=..."
    if len(row) == 1 and any(mark in have for mark in ";\t"):
        remedy = "separate its columns by commas"
    return f"data set {name!r}, row {place} has no column {column!r}, but {have}; {remedy}{alone}"


def _names(features: Any, label: str) -> tuple[str, ...] | None:
    """The names of a ClassLabel."""
    names = None if features is None else getattr(features.get(label), "names", None)
    return tuple(names) if names else None


def _as_labels(name: str, values: Sequence[Any], classes: tuple[str, ...] | None) -> tuple[list[int], tuple[str, str]]:
    if classes is not None and len(classes) != 2:
        raise UsageProblem(
            f"data set {name!r}: {len(classes)} classes ({', '.join(classes)}); a probe tells two apart: keep two"
        )
    words = [str(value) for value in values]
    if classes is not None and set(words) <= set(classes):
        return [classes.index(word) for word in words], (classes[0], classes[1])
    if all(_is_mark(value) for value in values):
        return [int(value) for value in values], (classes[0], classes[1]) if classes else ("0", "1")
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
            f"data set {name!r}: the labels take {len(found)} value{'s' if len(found) > 1 else ''} ({shown}); a probe "
            "tells two classes apart: keep two, or map them to 0 and 1"
        )
    as_names = any(word in classes for word in words)
    wrong = next(i for i, value in enumerate(values) if not (words[i] in classes if as_names else _is_mark(value)))
    raise UsageProblem(
        f"data set {name!r}, row {wrong}: label {words[wrong]!r} is neither {classes[0]!r} nor {classes[1]!r}; remove "
        "the row, or name the classes as the column does"
    )


def _is_mark(value: Any) -> bool:
    """Whether it says 0 or 1, as a number or in writing."""
    return value in ("0", "1") if isinstance(value, str) else isinstance(value, (Real, np.bool_)) and value in (0, 1)
