"""Read a history: each claim about a model over its checkpoints and over the commits at which it was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import UsageProblem
from ...models.sources.checkpoints import in_order
from ..steps import ClaimOverSteps, claim_over_steps
from .appending import inflated_ids, inflated_values
from .database import History

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ...stats import Measurement

__all__ = ["ClaimHistory", "Point", "known_models", "read_claims"]


@dataclass(frozen=True)
class Point:
    """One verdict on one model, and the runs that saw it, from ``first`` to ``last``: (number, started, commit,
    whether files differed from it).
    """

    model: str
    step: str | None
    sha256: str
    dtype: str
    seed: int
    verdict: str
    layer: str | None
    estimate: float | None
    n: int
    levels: Mapping[str, float] | None
    controls: Sequence[Mapping[str, Any]]
    reason: str
    runs: int
    first: tuple[int, str, str | None, bool | None]
    last: tuple[int, str, str | None, bool | None]
    measured: Measurement | None
    """of the whole budget, what the claim is about"""


@dataclass(frozen=True)
class ClaimHistory:
    """One claim about one model: its points by step, else in the order in which they were first seen."""

    check: str
    claim: str
    threshold: float | None
    points: tuple[Point, ...]

    def over_steps(self) -> ClaimOverSteps | None:
        """The claim over the steps of a training, of each step what was seen last; None with fewer than two steps."""
        latest = {p.step: p for p in sorted(self.points, key=lambda point: point.last[0]) if p.step is not None}
        if len(latest) < 2:
            return None
        checks = {
            step: {
                "verdict": p.verdict,
                "estimate": p.estimate,
                "levels": p.levels,
                "controls": [{**control, "details": {"is_claim": control["is_claim"]}} for control in p.controls],
            }
            for step, p in latest.items()
        }
        return claim_over_steps(self.check, tuple(in_order(latest)), checks)


def known_models(history: History) -> dict[str, int]:
    """Every model and training that the history knows, and the number of runs that saw it."""
    from sqlalchemy import func, select

    from .tables import MODELS, SIGHTINGS

    name = func.coalesce(MODELS.c.training, MODELS.c.name)
    with history.reading() as connection:
        rows = connection.execute(
            select(name, func.count(SIGHTINGS.c.run.distinct()))
            .join(SIGHTINGS, SIGHTINGS.c.model == MODELS.c.number)
            .group_by(name)
            .order_by(name)
        ).all()
    return {str(name): int(runs) for name, runs in rows}


def read_claims(history: History, model: str, check: str | None = None) -> list[ClaimHistory]:
    """The claims about a model, or about a training and all its steps.

    Raises UsageProblem, naming what there is, for a model or a check that the history does not know.
    """
    with history.reading() as connection:
        rows = _rows(connection, model)
        points = [(row, _point(connection, row)) for row in rows if check in (None, row["check_name"])]
    if not rows:
        names = ", ".join(known_models(history)) or "nothing yet"
        raise UsageProblem(f"{history.path}: nothing is known of {model!r}; the history has {names}")
    if not points:
        names = ", ".join(dict.fromkeys(row["check_name"] for row in rows))
        raise UsageProblem(f"{history.path}: no claim {check!r} about {model!r}; there are {names}")
    claims: dict[str, list[tuple[Mapping[str, Any], Point]]] = {}
    for row, point in points:
        claims.setdefault(row["question"], []).append((row, point))
    return [_claim(found) for found in claims.values()]


def _claim(found: Sequence[tuple[Mapping[str, Any], Point]]) -> ClaimHistory:
    steps = {step: place for place, step in enumerate(in_order(p.step for _, p in found if p.step is not None))}
    points = sorted((p for _, p in found), key=lambda p: (steps.get(p.step or "", len(steps)), p.first[0]))
    newest = max(found, key=lambda pair: pair[1].last[0])[0]
    return ClaimHistory(newest["check_name"], newest["claim"], newest["threshold"], tuple(points))


def _rows(connection: Connection, model: str) -> Sequence[Mapping[str, Any]]:
    from sqlalchemy import func, or_, select

    from .tables import MODELS, SIGHTINGS, VERDICTS

    query = (
        select(
            VERDICTS,
            MODELS.c.name.label("model"),
            MODELS.c.step,
            func.count().label("runs"),
            func.min(SIGHTINGS.c.run).label("first"),
            func.max(SIGHTINGS.c.run).label("last"),
        )
        .join(SIGHTINGS, SIGHTINGS.c.verdict == VERDICTS.c.number)
        .join(MODELS, SIGHTINGS.c.model == MODELS.c.number)
        .where(or_(MODELS.c.name == model, MODELS.c.training == model))
        .group_by(VERDICTS.c.number, MODELS.c.number)
        .order_by(VERDICTS.c.number)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _point(connection: Connection, row: Mapping[str, Any]) -> Point:
    same = {
        name: row[name]
        for name in ("model", "step", "sha256", "dtype", "seed", "verdict", "layer", "estimate", "n", "reason", "runs")
    }
    return Point(
        **same,
        levels=json.loads(row["levels"]),
        controls=json.loads(row["controls"]),
        first=_run(connection, row["first"]),
        last=_run(connection, row["last"]),
        measured=_measured(connection, row["number"]),
    )


def _run(connection: Connection, number: int) -> tuple[int, str, str | None, bool | None]:
    from sqlalchemy import select

    from .tables import RUNS

    columns = (RUNS.c.number, RUNS.c.started, RUNS.c.git_commit, RUNS.c.git_changed)
    found = connection.execute(select(*columns).where(RUNS.c.number == number)).one()
    return found[0], found[1], found[2], found[3]


def _measured(connection: Connection, verdict: int) -> Measurement | None:
    from sqlalchemy import select

    from ..measured import measurement_of
    from .tables import CLUSTERS, MEASUREMENTS

    found = (
        connection.execute(
            select(MEASUREMENTS, CLUSTERS.c.ids)
            .join(CLUSTERS, MEASUREMENTS.c.clusters == CLUSTERS.c.digest)
            .where((MEASUREMENTS.c.verdict == verdict) & (MEASUREMENTS.c.position == 0))
        )
        .mappings()
        .first()
    )
    if found is None:
        return None
    same = {name: found[name] for name in ("name", "version", "unit", "direction", "statistic", "lo", "hi")}
    values, clusters = inflated_values(found["per_cluster"]), inflated_ids(found["ids"])
    return measurement_of({**same, "clusters": clusters, "values": values})
