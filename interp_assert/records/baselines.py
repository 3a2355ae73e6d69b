"""Baselines: how a model was, cluster by cluster, in one file per model that is committed beside the code.

A file is made to be read in a review and merged: sorted keys, one line per cluster, no time and no machine in it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError, model_validator

from ..errors import UsageProblem
from .baseline_names import file_name
from .locking import alone_in
from .writing import write_in_one_piece

__all__ = [
    "FOLDER",
    "Baseline",
    "Stored",
    "Weights",
    "change_baseline",
    "key_of",
    "path_of",
    "read_baseline",
    "stored_of",
]

FOLDER = "interp-baselines"
SCHEMA = 1
DIGITS = 6
"""significant digits of a stored value"""
MOST_BYTES = 256 * 2**20

Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Weights(_Strict):
    """Which weights were measured, and in which number format."""

    sha256: Sha
    revision: str | None
    dtype: str


class Stored(_Strict):
    """One check of a model: what was measured, and the value of each cluster.

    ``budget`` is the number of clusters that could be drawn, ``population`` the length of the list that they are (None:
    draws from an endless supply); ``weights`` are those it was measured on, if they are not those of the whole file.
    """

    measurement: str
    version: int
    unit: str
    direction: Literal["higher", "lower"]
    lo: FiniteFloat | None
    hi: FiniteFloat | None
    digits: int = Field(ge=1, le=17)
    budget: int | None
    seed: int | None
    population: int | None
    weights: Weights | None
    values: dict[str, FiniteFloat] = Field(min_length=1)

    @model_validator(mode="after")
    def _in_range(self) -> Stored:
        low, high = self.bounds
        slack = 10.0 ** (1 - self.digits)
        if not low < high:
            raise ValueError(f"the range [{low}, {high}] is empty")
        for cluster, value in self.values.items():
            if not low - slack * abs(low) <= value <= high + slack * abs(high):
                raise ValueError(f"{value} of cluster {cluster!r} lies outside [{low}, {high}]")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Of a value; infinite where there are none."""
        low = float("-inf") if self.lo is None else self.lo
        return low, float("inf") if self.hi is None else self.hi

    @property
    def mean(self) -> float:
        """Over all clusters."""
        return sum(self.values.values()) / len(self.values)


class Baseline(_Strict):
    """A file of ``interp-baselines/``: whose it is, which weights were measured, and every check."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    schema_version: Literal[1] = Field(alias="schema")
    model: str
    weights: Weights
    checks: dict[str, Stored]

    @classmethod
    def empty(cls, model: str, weights: Weights) -> Baseline:
        """Of a model that has none yet."""
        return cls.model_validate({"schema": SCHEMA, "model": model, "weights": weights, "checks": {}})

    def weights_of(self, stored: Stored) -> Weights:
        """Those on which a check was measured."""
        return stored.weights if stored.weights is not None else self.weights

    def with_checks(self, weights: Weights, measured: Mapping[str, Stored]) -> Baseline:
        """These checks put in or replaced, as measured on ``weights``. The file is of the weights that most of its
        checks were measured on; the others say so themselves.
        """
        checks = {key: (self.weights_of(stored), stored) for key, stored in self.checks.items()}
        checks |= {key: (weights, stored) for key, stored in measured.items()}
        counted = Counter(of for of, _ in checks.values())
        header = max((self.weights, weights), key=lambda of: counted[of])
        kept = {
            key: stored.model_copy(update={"weights": None if of == header else of})
            for key, (of, stored) in checks.items()
        }
        return self.model_copy(update={"weights": header, "checks": kept})

    def text(self) -> str:
        """The file: sorted keys, indent 2, ASCII."""
        plain = self.model_dump(mode="json", by_alias=True)
        return json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n"


def stored_of(record: Mapping[str, Any]) -> Stored | None:
    """What is to be kept of a check, out of its record with ``measurements``: the first, which is the quantity that is
    claimed. None for a check that measures nothing cluster by cluster, and for drift, which has a model to be compared
    with already.
    """
    measured = (record.get("measurements") or [None])[0]
    if measured is None or measured["direction"] == "none" or record["check"].startswith("drift/"):
        return None
    return Stored(
        measurement=measured["name"],
        version=measured["version"],
        unit=measured["unit"],
        direction=measured["direction"],
        lo=measured["lo"],
        hi=measured["hi"],
        digits=DIGITS,
        budget=record["asked"]["clusters"],
        seed=record["asked"]["seed"],
        population=record["population"],
        weights=None,
        values={
            cluster: rounded(value) for cluster, value in zip(measured["clusters"], measured["values"], strict=True)
        },
    )


def rounded(value: float) -> float:
    """At the precision of a baseline."""
    return float(f"{value:.{DIGITS}g}")


def key_of(record: Mapping[str, Any]) -> str:
    """``suite/check``, with the parameters that differ from the defaults: ``circuits/induction[n=8]``. What the id of
    the check says already is left out.
    """
    check = record["check"]
    parameters = {
        name: value
        for name, value in sorted(record["asked"]["parameters"].items())
        if value != check and not check.endswith(f"/{value}")
    }
    return check + (f"[{','.join(f'{name}={value}' for name, value in parameters.items())}]" if parameters else "")


def path_of(folder: Path, name: str) -> Path:
    """Where the baseline of a model lies."""
    return folder / file_name(name)


def read_baseline(path: Path, name: str) -> Baseline | None:
    """The baseline in a file, None if there is no file.

    Raises ``UsageProblem``, one line naming the file, what is wrong and the remedy, for anything that is no baseline of
    this model.
    """
    try:
        text = _read(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        found = Baseline.model_validate(_parsed(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise UsageProblem(f"{path}: {where or 'it'}: {message}; {_REMEDY}") from error
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{path}: is no JSON that could be read: {error}; {_REMEDY}") from error
    if found.model != name:
        raise UsageProblem(
            f"{path}: is the baseline of {found.model!r}, not of {name!r}; give one of them another name "
            "(--interp-model=NAME=...)"
        )
    return found


_REMEDY = "restore it from version control, or delete it and run with --interp-baseline=new"


def change_baseline(folder: Path, name: str, change: Callable[[Baseline | None], Baseline | None]) -> bool:
    """Replace the baseline of a model by what ``change`` makes of it, unless that is what it was, or None; nobody else
    changes any in this folder meanwhile. Returns whether it was replaced.

    The file is replaced in one piece, or stays as it was. Raises ``OSError`` if it cannot be written, ``UsageProblem``
    for a file that is no baseline of this model, or a folder that is a link.
    """
    if folder.is_symlink():
        raise UsageProblem(f"{folder} is a symbolic link: nothing is written through it; make it a folder")
    folder.mkdir(exist_ok=True)
    path = path_of(folder, name)
    with alone_in(folder):
        _remove_left_over(folder)
        before = read_baseline(path, name)
        made = change(before)
        if made is None or made == before:
            return False
        write_in_one_piece(path, made.text())
    return True


_LEFT_OVER = re.compile(r"\..+\.json\.[\w]+\.tmp")


def _remove_left_over(folder: Path) -> None:
    """What a run that was killed while it wrote has left; nobody else writes now."""
    for entry in os.scandir(folder):
        if _LEFT_OVER.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)


def _read(path: Path) -> str:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as stream:
        facts = os.fstat(stream.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MOST_BYTES:
            raise OSError("it is no ordinary file of a size that a baseline has")
        return stream.read().decode("utf-8")


def _parsed(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} occurs twice")
        return made

    def finite(constant: str) -> float:
        raise ValueError(f"{constant} is no number of JSON")

    return json.loads(text, object_pairs_hook=once, parse_constant=finite)
