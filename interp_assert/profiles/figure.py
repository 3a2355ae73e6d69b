"""A number of a profile with its interval, and the profile that it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ..errors import NonFiniteMeasurement
from ..stats import Cost, Measurement, mean_interval

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["LEVEL", "Figure", "Profile", "Request"]

LEVEL = 0.95
"""of every interval of a profile"""


@dataclass(frozen=True)
class Request:
    """What a profile is asked for: the clusters of each measurement, its seed, and the model that drift is measured
    against, if there is one.
    """

    clusters: int
    seed: int = 0
    base: Model | None = None


@dataclass(frozen=True)
class Figure:
    """One number about one model.

    Attributes:
        measure: id of the measurement, ``circuits/induction``.
        quantity: what the number is; the heading of its column.
        value: None if it could not be measured; ``missing`` says why.
        interval: that holds with probability ``LEVEL``; None for what is no estimate, such as a distance of weights.
        n: clusters.
        unit: of the value.
        note: what belongs beside the number, in a few words.
        approximate: whether the interval rests on a normal approximation.
        whole: all clusters of a finite list were measured, so that there is nothing left to guess.
        broken: ``missing`` is a defect (scores that are not finite), not something that the model has no use for.
        about: what the number is, in a line.
        details: further numbers, in builtins.
    """

    measure: str
    quantity: str
    value: float | None
    interval: tuple[float, float] | None
    n: int
    unit: str
    note: str = ""
    approximate: bool = False
    whole: bool = False
    missing: str = ""
    broken: bool = False
    about: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        measure: str,
        quantity: str,
        measured: Measurement,
        *,
        population: int | None = None,
        note: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> Figure:
        """The mean of a measurement: with an exact interval if its range is finite, else by Student's t.

        ``population`` is the number of clusters of a finite list, drawn without replacement.
        """
        low, high, approximate = mean_interval(measured, level=1.0 - LEVEL, population=population)
        return cls(
            measure=measure,
            quantity=quantity,
            value=measured.estimate,
            interval=(low, high),
            n=measured.n,
            unit=measured.unit,
            note=note,
            approximate=approximate,
            whole=population is not None and measured.n >= population,
            details=details or {},
        )

    @classmethod
    def none(cls, measure: str, quantity: str, reason: str, *, broken: bool = False) -> Figure:
        """No number, and why."""
        return cls(measure, quantity, None, None, 0, "", missing=reason, broken=broken)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe builtins."""
        from ..stats.verdict import plain

        return {entry.name: plain(getattr(self, entry.name), entry.name) for entry in fields(self)}


@dataclass(frozen=True)
class Profile:
    """The row of one model: its figures and what each measurement cost."""

    model: str
    figures: tuple[Figure, ...]
    clusters: int
    seed: int
    costs: Mapping[str, Cost]
    base: str | None = None

    @property
    def broken(self) -> list[str]:
        """Measurements that gave numbers which are not finite, each with its reason."""
        return [f"{figure.measure}: {figure.missing}" for figure in self.figures if figure.broken]

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe builtins, an entry of ``profiles`` in the results document."""
        return {
            "model": self.model,
            "clusters": self.clusters,
            "seed": self.seed,
            "level": LEVEL,
            "base": self.base,
            "figures": [figure.as_dict() for figure in self.figures],
            "costs": {
                name: {
                    "forward_passes": int(cost.forward_passes),
                    "tokens": int(cost.tokens),
                    "seconds": float(cost.seconds),
                }
                for name, cost in self.costs.items()
            },
        }


def not_finite(measure: str, quantity: str, problem: NonFiniteMeasurement) -> Figure:
    """A measurement that gave no finite number: a defect, never a blank."""
    return Figure.none(measure, quantity, f"not finite: {problem}", broken=True)
