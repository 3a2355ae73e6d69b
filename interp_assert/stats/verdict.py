"""The decision about one claim, with its controls and all its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, Literal

from ..errors import NonFiniteMeasurement
from .levels import ErrorLevels

if TYPE_CHECKING:
    from .measurement import Cost, Measurement

__all__ = ["Asked", "ControlResult", "Outcome", "Verdict", "combine", "plain"]


class Outcome(str, Enum):
    """What was established about a claim."""

    PASS = "PASS"
    """the claim, at its error level"""
    FAIL = "FAIL"
    """the claim's opposite, at its error level"""
    INCONCLUSIVE = "INCONCLUSIVE"
    """neither, with the clusters that were measured"""
    NOT_APPLICABLE = "NOT_APPLICABLE"
    """the model provably lacks what the claim speaks of"""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class ControlResult:
    """One control's own verdict: PASS means that the control does not explain the claim away.

    ``interval`` ends may be infinite (unbounded); ``approximate`` marks t-predictions on a few twins; an advisory
    control has ``required=False`` and cannot change a verdict.
    """

    name: str
    outcome: Outcome
    estimate: float | None
    interval: tuple[float, float] | None
    threshold: float | None
    n: int
    approximate: bool = False
    required: bool = True
    note: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _refuse_nan(f"control {self.name}", self.estimate, self.interval, self.threshold)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe builtins."""
        return {
            "name": self.name,
            "verdict": self.outcome.value,
            "estimate": plain(self.estimate),
            "interval": plain(self.interval),
            "threshold": plain(self.threshold),
            "n": int(self.n),
            "approximate": bool(self.approximate),
            "required": bool(self.required),
            "note": self.note,
            "details": plain(self.details, "details"),
        }


@dataclass(frozen=True)
class Asked:
    """What a claim was asked to measure, as far as it decides which numbers come out.

    Attributes:
        parameters: arguments that differ from their defaults, written out, without those that only judge (floors,
            margins, error levels, twins).
        clusters: the budget; None for claims that have none.
        seed: None for claims that have none.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    clusters: int | None = None
    seed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Builtins."""
        return {"parameters": dict(self.parameters), "clusters": self.clusters, "seed": self.seed}


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is decided about one claim on one model, and why.

    ``claim`` is a sentence; ``interval`` a confidence sequence (never the naive interval of a stopped sample); ``n``
    the clusters counted; ``needed`` the clusters in all that a decision would probably take; ``claim_outcome`` the
    claim's own outcome before the controls were heard; ``reason`` why it is not PASS. ``levels`` is None where nothing
    was estimated: the claim is about every input, n inputs were tried, and FAIL shows one that refutes it.
    ``population`` is the length of the finite list that was measured, None for draws from an endless supply.
    ``remembered`` is what a verdict cost that was reached before, on the same weights with the same arguments; ``cost``
    is then nothing. Raises ``NonFiniteMeasurement`` for a NaN among its numbers.
    """

    check: str
    outcome: Outcome
    model: str
    layer: str | None
    claim: str
    estimate: float | None
    interval: tuple[float, float] | None
    n: int
    threshold: float | None
    direction: Literal["higher", "lower"]
    levels: ErrorLevels | None
    controls: tuple[ControlResult, ...]
    details: Mapping[str, Any]
    cost: Cost
    needed: int | None = None
    reason: str = ""
    claim_outcome: Outcome = Outcome.INCONCLUSIVE
    measurements: tuple[Measurement, ...] = ()
    population: int | None = None
    asked: Asked = Asked()
    remembered: Cost | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "controls", tuple(self.controls))
        object.__setattr__(self, "measurements", tuple(self.measurements))
        _refuse_nan(self.check, self.estimate, self.interval, self.threshold)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe builtins: numbers that are not finite become None, arrays become lists.

        Raises ``TypeError`` naming the entry of ``details`` that has no JSON form.
        """
        return {
            "check": self.check,
            "model": self.model,
            "layer": self.layer,
            "claim": self.claim,
            "verdict": self.outcome.value,
            "claim_verdict": self.claim_outcome.value,
            "estimate": plain(self.estimate),
            "interval": plain(self.interval),
            "n": int(self.n),
            "threshold": plain(self.threshold),
            "direction": self.direction,
            "levels": None if self.levels is None else self.levels.as_dict(),
            "controls": [control.as_dict() for control in self.controls],
            "details": plain(self.details, "details"),
            "needed": plain(self.needed),
            "reason": self.reason,
            "population": self.population,
            "asked": self.asked.as_dict(),
            **_spent(self.cost),
            "remembered": None if self.remembered is None else _spent(self.remembered),
        }


def _spent(cost: Cost) -> dict[str, Any]:
    return {
        "forward_passes": int(cost.forward_passes),
        "tokens": int(cost.tokens),
        "seconds": float(cost.seconds),
    }


def combine(claim: Outcome, controls: Iterable[ControlResult]) -> Outcome:
    """The verdict from the claim's outcome and its required controls; advisory controls are not heard.

    NOT_APPLICABLE if the claim is; else FAIL if the claim or a required control failed; else NOT_APPLICABLE if a
    required control is (without it there is no PASS); PASS if all passed; else INCONCLUSIVE.
    """
    if claim is Outcome.NOT_APPLICABLE:
        return claim
    heard = {claim, *(control.outcome for control in controls if control.required)}
    for decisive in (Outcome.FAIL, Outcome.NOT_APPLICABLE, Outcome.INCONCLUSIVE):
        if decisive in heard:
            return decisive
    return Outcome.PASS


def _refuse_nan(
    what: str, estimate: float | None, interval: tuple[float, float] | None, threshold: float | None
) -> None:
    for name, number in (("estimate", estimate), ("threshold", threshold)):
        if number is not None and not isfinite(number):
            raise NonFiniteMeasurement(
                f"{what}: {name} is {number}; a number that is not finite cannot carry a verdict"
            )
    if interval is not None and any(isnan(end) for end in interval):
        raise NonFiniteMeasurement(f"{what}: interval {interval} contains NaN; an unbounded end is infinite, not NaN")


def plain(value: Any, path: str = "value") -> Any:
    """``value`` in JSON-safe builtins; ``path`` names the entry in errors."""
    if value is None or isinstance(value, (bool, str)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return plain(value.value, path)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry, f"{path}.{key}") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry, f"{path}[{place}]") for place, entry in enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name), f"{path}.{entry.name}") for entry in fields(value)}
    if hasattr(value, "tolist"):  # numpy arrays and scalars, torch tensors: none of them imported here
        return plain(value.tolist(), path)
    raise TypeError(f"{path} is a {type(value).__name__}, which has no JSON form; use numbers, text, lists or mappings")
