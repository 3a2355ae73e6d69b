"""The results file: one JSON document per run, versioned, written in one piece, checked when it is read."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageProblem
from .document import PARTS, SCHEMA
from .shapes import check_shape
from .writing import write_in_one_piece

__all__ = ["SCHEMA", "Results", "model_entry", "read_results", "write_results"]


@dataclass(frozen=True)
class Results:
    """One run: its provenance, the models that it opened, every verdict that was reached, every profile that was made,
    what became of every check that has a baseline, and the gates that were run with the outcome of each of their tests.

    Each part is made of builtins, as it stands in the file. Raises ``UsageProblem`` naming the place of the first
    thing that does not follow the schema.
    """

    run: Mapping[str, Any]
    models: tuple[Mapping[str, Any], ...]
    checks: tuple[Mapping[str, Any], ...]
    profiles: tuple[Mapping[str, Any], ...] = ()
    baselines: tuple[Mapping[str, Any], ...] = ()
    gates: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for name, shape in PARTS.items():
            check_shape(getattr(self, name), shape, name)

    def as_dict(self) -> dict[str, Any]:
        """The document, with its schema number first; what is optional only where there is any."""
        optional = {"profiles": [*self.profiles], "baselines": [*self.baselines], "gates": [*self.gates]}
        return {
            "schema": SCHEMA,
            "run": dict(self.run),
            "models": [*self.models],
            "checks": [*self.checks],
            **{key: entries for key, entries in optional.items() if entries},
        }

    @classmethod
    def from_dict(cls, document: Any) -> Results:
        """The inverse of ``as_dict``; refuses other schemas."""
        if not isinstance(document, dict):
            raise UsageProblem(f"a results document is a JSON object, not {type(document).__name__}")
        schema = document.get("schema")
        if schema != SCHEMA or isinstance(schema, bool):
            raise UsageProblem(f"schema {schema!r} is not {SCHEMA}, the one that this version reads{_remedy(schema)}")
        document = {"profiles": [], "baselines": [], "gates": [], **document}
        parts = ("models", "checks", "profiles", "baselines", "gates")
        for key in ("run", *parts):
            kind = dict if key == "run" else list
            if not isinstance(document.get(key), kind):
                raise UsageProblem(f"{key} is missing or not a {kind.__name__}")
        return cls(document["run"], *(tuple(document[key]) for key in parts))


def model_entry(label: str, facts: Mapping[str, Any], changed: str | None = None) -> dict[str, Any]:
    """One entry of ``models`` made of ``Model.provenance()``: the names of this file, then whatever else the model
    knows about itself. ``changed`` says what of its files was no longer the same at the end.
    """
    renamed = {"parameters": facts["n_parameters"], "threads": facts["torch_threads"]}
    others = {key: value for key, value in facts.items() if key not in ("n_parameters", "torch_threads")}
    return {**others, **renamed, "id": label, "changed": changed}


def write_results(results: Results, path: str | os.PathLike[str]) -> None:
    """Write the document in one piece: a reader sees the old file or the new one, never half of one.

    A symbolic link stays one: the file that it points to is replaced.

    Raises ``OSError`` if the folder cannot be written or ``path`` is no ordinary file (a device, a pipe),
    ``ValueError`` for a number that JSON cannot hold; either way ``path`` is left as it was.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no ordinary file, and cannot be replaced in one piece", str(path))
    write_in_one_piece(path, json.dumps(results.as_dict(), indent=1, allow_nan=False) + "\n")


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read a results file back. Raises ``UsageProblem`` naming the file and what is wrong with it."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise UsageProblem(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from error
    except RecursionError:
        raise UsageProblem(f"{os.fspath(path)}: is nested too deeply to be results") from None
    except ValueError as error:
        raise UsageProblem(f"{os.fspath(path)}: is not JSON: {error}") from error
    try:
        return Results.from_dict(document)
    except UsageProblem as problem:
        raise UsageProblem(f"{os.fspath(path)}: {problem}") from problem


def _refuse(constant: str) -> None:
    """Python's reader lets NaN and Infinity pass, which no results file holds and no JSON."""
    raise ValueError(f"{constant} is no number of JSON")


def _remedy(schema: object) -> str:
    if isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA:
        return "; update interp-assert"
    return "; run the tests again" if isinstance(schema, int) and schema < SCHEMA else ""
