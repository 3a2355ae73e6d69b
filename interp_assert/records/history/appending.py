"""Append a run: what it saw for the first time is written, what is there already is only counted."""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...models.sources.checkpoints import checkpoint_of
from ..results import Results
from .database import History

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

__all__ = ["Appended", "append", "inflated_ids", "inflated_values"]

_ASKED = ("n", "margin", "block", "data", "probe", "target", "site", "kind", "pi", "length", "limits")
"""settings of a claim, among its details, that neither its threshold nor its prompts tell"""


@dataclass(frozen=True)
class Appended:
    """What became of the verdicts of a run: ``new`` ones were written, ``known`` ones were there already, ``left_out``
    speak of weights that have no hash of their own (a module that a test wrapped, files that changed).
    """

    new: int
    known: int
    left_out: int


def append(
    history: History,
    results: Results,
    measured: Sequence[Sequence[Mapping[str, Any]]] = (),
    *,
    kind: str,
    id: str | None = None,
) -> Appended:
    """Append a run in one transaction.

    ``measured`` holds, for each check of the results, its measurements as ``measurement_entry`` makes them. ``kind`` is
    how the run came about (pytest, track, training); with the ``id`` of a run that is there already nothing changes.

    A verdict is the same as another if the weights, the dtype, the question (check, threshold, settings, base), the
    controls, the error levels, the seed, and name, version and clusters of each measurement are: then it is written
    once.
    """
    from sqlalchemy import select

    from .tables import RUNS, SIGHTINGS

    id = uuid.uuid4().hex if id is None else id
    known_models = {model["id"]: model for model in results.models if not model.get("changed")}
    measured = measured or [()] * len(results.checks)
    told = [
        (check, entries)
        for check, entries in zip(results.checks, measured, strict=True)
        if known_models.get(check["model"], {}).get("sha256")
    ]
    new = 0
    with history.writing() as connection:
        if connection.execute(select(RUNS.c.number).where(RUNS.c.id == id)).first() is None:
            run = _insert(connection, RUNS, _run_row(results.run, id, kind))
            sighted = set()
            for check, entries in told:
                model = known_models[check["model"]]
                verdict, is_new = _verdict(connection, results.run, model, check, entries)
                new += is_new
                sighted.add((verdict, _model(connection, model)))
            for verdict, seen in sorted(sighted):
                connection.execute(SIGHTINGS.insert().values(run=run, verdict=verdict, model=seen))
    return Appended(new, len(told) - new, len(results.checks) - len(told))


def _run_row(run: Mapping[str, Any], id: str, kind: str) -> dict[str, Any]:
    git = run.get("git") or {}
    return {
        "id": id,
        "kind": kind,
        "started": run["started"],
        "seconds": run["seconds"],
        "git_commit": git.get("commit"),
        "git_changed": git.get("changed"),
        "platform": run["platform"],
        "versions": _json(run["versions"]),
    }


def _model(connection: Connection, model: Mapping[str, Any]) -> int:
    from sqlalchemy import select

    from .tables import MODELS

    name = _text(model["id"])
    same = (MODELS.c.name == name) & (MODELS.c.sha256 == model["sha256"])
    found = connection.execute(select(MODELS.c.number).where(same)).scalar()
    if found is not None:
        return int(found)
    at = checkpoint_of(name)
    row = {
        "name": name,
        "sha256": model["sha256"],
        "training": None if at is None else at.training,
        "step": None if at is None else at.step,
        "architecture": _text(model["architecture"]),
        "parameters": model["parameters"],
    }
    return _insert(connection, MODELS, row)


def _verdict(
    connection: Connection,
    run: Mapping[str, Any],
    model: Mapping[str, Any],
    check: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
) -> tuple[int, bool]:
    """The verdict's number, and whether it was written now."""
    from sqlalchemy import select

    from .tables import VERDICTS

    details = check["details"]
    seed = int(details.get("seed", run["seed"]))
    clusters = [_ids(entry["clusters"]) for entry in entries]
    base = details.get("base")
    question = {
        "check": check["check"],
        "threshold": check["threshold"],
        "direction": check.get("direction"),
        "settings": {**_parameters(check), **{name: details[name] for name in _ASKED if name in details}},
        "base": base.get("sha256") if isinstance(base, Mapping) else None,
    }
    key = {
        "question": question,
        "weights": model["sha256"],
        "dtype": model["dtype"],
        "levels": check.get("levels"),
        "controls": [_kind_of(control) for control in check["controls"]],
        "seed": seed,
        "measured": [
            (entry["name"], entry["version"], _digest(ids)) for entry, ids in zip(entries, clusters, strict=True)
        ],
    }
    digest = _digest(_json(key).encode())
    found = connection.execute(select(VERDICTS.c.number).where(VERDICTS.c.key == digest)).scalar()
    if found is not None:
        return int(found), False
    low, high = check["interval"] or (None, None)
    row = {
        "key": digest,
        "question": _digest(_json(question).encode()),
        "sha256": model["sha256"],
        "dtype": model["dtype"],
        "seed": seed,
        "check_name": _text(check["check"]),
        "claim": _text(str(check.get("claim", ""))),
        "layer": None if check.get("layer") is None else _text(check["layer"]),
        "verdict": check["verdict"],
        "estimate": check["estimate"],
        "low": low,
        "high": high,
        "n": check["n"],
        "threshold": check["threshold"],
        "levels": _json(check.get("levels")),
        "controls": _json([_control(control) for control in check["controls"]]),
        "reason": _text(str(check.get("reason") or "")),
    }
    number = _insert(connection, VERDICTS, row)
    for position, (entry, ids) in enumerate(zip(entries, clusters, strict=True)):
        _measurement(connection, number, position, entry, ids)
    return number, True


def _measurement(connection: Connection, verdict: int, position: int, entry: Mapping[str, Any], ids: bytes) -> None:
    from sqlalchemy import select

    from .tables import CLUSTERS, MEASUREMENTS

    digest = _digest(ids)
    if connection.execute(select(CLUSTERS.c.digest).where(CLUSTERS.c.digest == digest)).first() is None:
        connection.execute(CLUSTERS.insert().values(digest=digest, ids=zlib.compress(ids)))
    same = {name: entry[name] for name in ("name", "version", "unit", "direction", "statistic", "lo", "hi")}
    row = {
        **same,
        "verdict": verdict,
        "position": position,
        "n": len(entry["values"]),
        "clusters": digest,
        "per_cluster": _deflated(entry["values"]),
    }
    connection.execute(MEASUREMENTS.insert().values(**row))


def _parameters(check: Mapping[str, Any]) -> dict[str, Any]:
    """What the assertion was told to measure otherwise than by default; of a base its weights are what counts."""
    asked = check.get("asked") or {}
    return {name: value for name, value in (asked.get("parameters") or {}).items() if name != "base"}


def _kind_of(control: Mapping[str, Any]) -> list[Any]:
    """Which control it is: twins of another scheme, or more of them, are another."""
    return [control["name"], *(control["details"].get(name) for name in ("scheme", "twins"))]


def _control(control: Mapping[str, Any]) -> dict[str, Any]:
    """What says how much a verdict risks, and what was seen; not the evidence."""
    kept = {
        name: control.get(name) for name in ("name", "verdict", "estimate", "threshold", "n", "approximate", "required")
    }
    return {**kept, "is_claim": bool(control["details"].get("is_claim", False))}


def _insert(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    key = connection.execute(table.insert().values(**row)).inserted_primary_key
    if key is None:
        raise RuntimeError(f"{table.name} gave no number to a new row")
    return int(key[0])


def _deflated(values: Iterable[float]) -> bytes:
    numbers = array("d", values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return zlib.compress(numbers.tobytes())


def inflated_values(stored: bytes) -> list[float]:
    """The inverse of what is stored for each cluster."""
    numbers = array("d", zlib.decompress(stored))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def inflated_ids(stored: bytes) -> list[str]:
    """The cluster ids of a stored set."""
    return list(json.loads(zlib.decompress(stored)))


def _ids(clusters: Iterable[str]) -> bytes:
    return _json(list(clusters)).encode()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _text(text: str) -> str:
    """What any database can hold: a path of undecodable bytes becomes escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
