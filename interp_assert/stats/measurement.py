"""What a measure returns: one value per independent cluster, with everything needed to pool, compare and audit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InterpError, NonFiniteMeasurement

__all__ = ["BadMeasurement", "Cost", "Measurement"]

_POOLINGS: dict[str, Callable[[Any], Any]] = {"mean": np.mean, "median": np.median}


class BadMeasurement(InterpError, ValueError):
    """Values, clusters or ranges that contradict each other."""


@dataclass(frozen=True)
class Cost:
    """What was spent. Costs add; of two peaks the sum keeps the higher."""

    forward_passes: int = 0
    tokens: int = 0
    """positions that went through the model"""
    seconds: float = 0.0
    peak_memory: int = 0
    """bytes"""

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.forward_passes + other.forward_passes,
            self.tokens + other.tokens,
            self.seconds + other.seconds,
            max(self.peak_memory, other.peak_memory),
        )


@dataclass(frozen=True, eq=False)
class Measurement:
    """Per-cluster values, float64 of shape (n,), in the order of the cluster ids; read-only.

    ``lo`` and ``hi`` bound a value (they may be infinite, but then no exact gate applies); ``direction`` says which way
    is better; ``statistic`` how values pool into ``estimate`` ("mean" or "median"); ``details`` what was seen per layer
    or head, where a numpy array with n rows holds one row per cluster.

    Raises ``NonFiniteMeasurement`` naming the first cluster whose value is NaN or infinite, and ``BadMeasurement`` for
    no clusters, repeated cluster ids, values outside [lo, hi] or lengths that differ.
    """

    name: str
    version: int
    clusters: tuple[str, ...]
    values: NDArray[np.float64]
    lo: float
    hi: float
    unit: str
    direction: Literal["higher", "lower", "none"]
    statistic: str = "mean"
    details: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost = Cost()

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        object.__setattr__(self, "clusters", tuple(str(cluster) for cluster in self.clusters))
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "lo", float(self.lo))
        object.__setattr__(self, "hi", float(self.hi))
        object.__setattr__(self, "details", dict(self.details))
        self._check()
        values.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.values.flags.writeable = False  # numpy does not keep the flag when an array is copied or unpickled

    @property
    def n(self) -> int:
        """The number of clusters."""
        return len(self.clusters)

    @property
    def estimate(self) -> float:
        """The values pooled by ``statistic``."""
        return float(_POOLINGS[self.statistic](self.values))

    def minus(self, other: Measurement, name: str | None = None) -> Measurement:
        """The paired difference, cluster by cluster, in [lo - other.hi, hi - other.lo]; costs add.

        Raises ``BadMeasurement`` unless both have the same cluster ids in the same order and the same unit.
        """
        if self.clusters != other.clusters:
            raise BadMeasurement(
                f"{self.name} and {other.name} cannot be compared in pairs: "
                f"{_first_difference(self.clusters, other.clusters)}; "
                "measure both on the same clusters, in the same order"
            )
        if self.unit != other.unit:
            raise BadMeasurement(
                f"{self.name} is in {self.unit}, {other.name} in {other.unit}; a difference needs one unit"
            )
        return Measurement(
            name=name if name is not None else f"{self.name} - {other.name}",
            version=self.version,
            clusters=self.clusters,
            values=self.values - other.values,
            lo=self.lo - other.hi,
            hi=self.hi - other.lo,
            unit=self.unit,
            direction=self.direction,
            statistic=self.statistic,
            cost=self.cost + other.cost,
        )

    def extend(self, other: Measurement) -> Measurement:
        """This measurement followed by ``other``, the same quantity on further clusters; costs add.

        Details with one row per cluster in both are joined, equal details stay, what differs otherwise (it was pooled
        over other clusters) is left out. Raises ``BadMeasurement`` if a cluster is in both or another quantity was
        measured.
        """
        for attribute in ("name", "version", "lo", "hi", "unit", "direction", "statistic"):
            mine, theirs = getattr(self, attribute), getattr(other, attribute)
            if mine != theirs:
                raise BadMeasurement(
                    f"{self.name} cannot be extended by another quantity: "
                    f"{attribute} is {mine!r} here and {theirs!r} there"
                )
        details = {}
        for key in self.details.keys() & other.details.keys():
            mine, theirs = self.details[key], other.details[key]
            if _has_rows(mine, self.n) and _has_rows(theirs, other.n) and mine.shape[1:] == theirs.shape[1:]:
                details[key] = np.concatenate([mine, theirs])
            elif type(mine) is type(theirs) and np.array_equal(mine, theirs):
                details[key] = mine
        return replace(
            self,
            clusters=self.clusters + other.clusters,
            values=np.concatenate([self.values, other.values]),
            details={key: details[key] for key in self.details if key in details},
            cost=self.cost + other.cost,
        )

    def head(self, n: int) -> Measurement:
        """The first ``n`` clusters; details with one row per cluster are cut, others and the cost stay those of the
        whole.
        """
        if not 1 <= n <= self.n:
            raise BadMeasurement(f"{self.name} has {self.n} clusters; its head may have 1 to {self.n} of them, not {n}")
        details = {key: value[:n] if _has_rows(value, self.n) else value for key, value in self.details.items()}
        return replace(self, clusters=self.clusters[:n], values=self.values[:n], details=details)

    def _check(self) -> None:
        if self.values.shape != (len(self.clusters),):
            raise BadMeasurement(
                f"{self.name}: values of shape {self.values.shape} for {len(self.clusters)} clusters; "
                "one value per cluster is needed"
            )
        if not self.clusters:
            raise BadMeasurement(f"{self.name}: no clusters were measured, so there is nothing to pool or decide")
        if len(set(self.clusters)) < len(self.clusters):
            twice = next(cluster for place, cluster in enumerate(self.clusters) if cluster in self.clusters[:place])
            raise BadMeasurement(
                f"{self.name}: cluster {twice!r} occurs twice; clusters are the independent units, pool within them"
            )
        if self.direction not in ("higher", "lower", "none"):
            raise BadMeasurement(f"{self.name}: direction {self.direction!r} must be 'higher', 'lower' or 'none'")
        if self.statistic not in _POOLINGS:
            raise BadMeasurement(f"{self.name}: statistic {self.statistic!r} must be one of {', '.join(_POOLINGS)}")
        if isnan(self.lo) or isnan(self.hi) or not self.lo < self.hi:
            raise BadMeasurement(f"{self.name}: the range [{self.lo}, {self.hi}] is empty; lo must be below hi")
        bad = np.flatnonzero(~np.isfinite(self.values))
        if bad.size:
            raise NonFiniteMeasurement(
                f"{self.name} is {self.values[bad[0]]} on cluster {self.clusters[bad[0]]!r} "
                f"({bad.size} of {self.n} clusters are not finite); "
                "a model or measure that overflows cannot be judged, try --interp-dtype float32"
            )
        outside = np.flatnonzero((self.values < self.lo) | (self.values > self.hi))
        if outside.size:
            raise BadMeasurement(
                f"{self.name} is {self.values[outside[0]]} on cluster {self.clusters[outside[0]]!r}, "
                f"outside its declared range [{self.lo}, {self.hi}]; declare the true range"
            )


def _has_rows(value: Any, n: int) -> bool:
    return isinstance(value, np.ndarray) and value.ndim >= 1 and value.shape[0] == n


def _first_difference(mine: Sequence[str], theirs: Sequence[str]) -> str:
    for place, (left, right) in enumerate(zip(mine, theirs, strict=False)):
        if left != right:
            return f"cluster {place} is {left!r} in one and {right!r} in the other"
    return f"one has {len(mine)} clusters and the other {len(theirs)}"
