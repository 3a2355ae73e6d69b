"""A measurement as builtins: what goes from one process to another, into baselines and into the history."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..stats import Measurement

__all__ = ["measurement_entry", "measurement_of"]


def measurement_entry(measured: Measurement) -> dict[str, Any]:
    """JSON-safe builtins: per-cluster values, the cluster ids in the same order, and what the values are; neither
    details nor cost. A bound that is infinite is None.
    """
    return {
        "name": measured.name,
        "version": int(measured.version),
        "unit": measured.unit,
        "direction": measured.direction,
        "statistic": measured.statistic,
        "lo": measured.lo if isfinite(measured.lo) else None,
        "hi": measured.hi if isfinite(measured.hi) else None,
        "clusters": list(measured.clusters),
        "values": [float(value) for value in measured.values],
    }


def measurement_of(entry: Mapping[str, Any]) -> Measurement:
    """The inverse of ``measurement_entry``. Raises ``BadMeasurement`` for values that contradict each other."""
    from ..stats import Measurement

    bounds = {
        "lo": float("-inf") if entry["lo"] is None else entry["lo"],
        "hi": float("inf") if entry["hi"] is None else entry["hi"],
    }
    return Measurement(**{**entry, **bounds})
