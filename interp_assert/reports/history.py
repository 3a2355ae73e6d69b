"""The history of a claim for people: a row for each verdict, with what was measured, and how that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .steps import told

if TYPE_CHECKING:
    from ..records.history import ClaimHistory, Point
    from ..stats import Measurement

__all__ = ["history_lines"]

LEVEL = 0.95
"""of the intervals"""


def history_lines(claim: ClaimHistory) -> list[str]:
    """The claim, a table with a row for each verdict on it, and for the steps of a training where it is first shown to
    hold or not to.

    ``value`` is the mean over all clusters of the budget, ``change`` that of the differences to the row above, cluster
    by cluster, where both measured the same clusters; each with an interval that holds with probability ``LEVEL``.
    Columns in which all rows are alike and say nothing are left out.
    """
    from tabulate import tabulate

    rows = [_row(point, before) for point, before in zip(claim.points, (None, *claim.points), strict=False)]
    kept = [name for name in rows[0] if name not in _OPTIONAL or len({row[name] for row in rows}) > 1]
    table = tabulate(
        [[row[name] for name in kept] for row in rows],
        headers=kept,
        tablefmt="simple",
        colalign=["right" if name in ("step", "seed", "runs") else "left" for name in kept],
        disable_numparse=True,
    )
    lines = [f"{claim.check}: {claim.claim}", *table.splitlines()]
    over = claim.over_steps()
    if over is not None:
        lines.append(f"{claim.check} {told(over)}.")
        if over.errors is not None:
            lines.append(
                f"Some step is wrongly said to hold with probability at most {over.errors.holds:.2g}, wrongly not to "
                f"with at most {over.errors.holds_not:.2g}, however many steps there are."
            )
    return lines


_OPTIONAL = ("model", "step", "seed", "dtype", "layer", "version", "change")


def _row(point: Point, before: Point | None) -> dict[str, str]:
    measured = point.measured
    return {
        "model": point.model.removesuffix(f"@{point.step}") if point.step else point.model,
        "step": point.step or "",
        "seed": str(point.seed),
        "dtype": point.dtype,
        "layer": point.layer or "",
        "weights": point.sha256[:8],
        "commit": _commits(point),
        "first seen": point.first[1].partition("T")[0],
        "runs": str(point.runs),
        "verdict": "n/a" if point.verdict == "NOT_APPLICABLE" else point.verdict,
        "version": "" if measured is None else str(measured.version),
        "value": "-" if measured is None else _with_interval(measured, ""),
        "change": "-" if before is None else _change(measured, before.measured),
    }


def _change(now: Measurement | None, before: Measurement | None) -> str:
    if now is None or before is None:
        return "-"
    if (now.name, now.version, now.unit, now.clusters) != (before.name, before.version, before.unit, before.clusters):
        return "-"
    if (now.values == before.values).all():
        return "none"
    return _with_interval(now.minus(before), "+")


def _with_interval(measured: Measurement, sign: str) -> str:
    from ..stats import mean_interval

    low, high, approximate = mean_interval(measured, level=1.0 - LEVEL)
    return f"{measured.estimate:{sign}.3f} {'~' if approximate else ''}[{low:.3f}, {high:.3f}]"


def _commits(point: Point) -> str:
    first, last = (
        f"{commit[:7]}{'+' if changed else ''}" if commit else "-"
        for _, _, commit, changed in (point.first, point.last)
    )
    return first if first == last else f"{first}..{last}"
