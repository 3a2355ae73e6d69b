"""What a limit on drift may be about, and what is a sensible limit."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from ...errors import UsageProblem

__all__ = ["KINDS", "LIMITS", "LimitKind", "checked_limits"]


@dataclass(frozen=True)
class LimitKind:
    """What may be limited: its name as an argument and for people, in what part of the model, which way is allowed,
    and the open range of a sensible limit.
    """

    name: str
    title: str
    part: str
    direction: Literal["higher", "lower"]
    lo: float
    hi: float


LIMITS = {
    kind.name: kind
    for kind in (
        LimitKind("total_variation", "total variation", "output", "lower", 0.0, 1.0),
        LimitKind("agreement", "top-1 agreement", "output", "higher", 0.0, 1.0),
        LimitKind("kl", "KL(base || model)", "output", "lower", 0.0, float("inf")),
        LimitKind("by_text", "nats per character lost", "text", "lower", 0.0, float("inf")),
        LimitKind("residual", "relative residual movement", "residual", "lower", 0.0, float("inf")),
        LimitKind("cosine", "residual cosine", "residual", "higher", -1.0, 1.0),
        LimitKind("cka", "residual CKA", "residual", "higher", 0.0, 1.0),
        LimitKind("weights", "relative weight distance", "weights", "lower", 0.0, float("inf")),
        LimitKind("claims_lost", "claims lost", "claims", "lower", 0.0, 1.0),
    )
}
KINDS = ("output", "text", "residual", "weights", "claims")


def checked_limits(**asked: float | None) -> dict[str, float]:
    """The limits that were given, by name, in the order of the table.

    Raises UsageProblem for one outside its range.
    """
    found = {}
    for name, kind in LIMITS.items():
        value = asked.get(name)
        if value is None:
            continue
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
        if not number or not kind.lo < value < kind.hi:
            upper = "" if kind.hi == float("inf") else f" and below {kind.hi:g}"
            raise UsageProblem(f"{name}={value!r}: a limit on the {kind.title} is a number above {kind.lo:g}{upper}")
        found[name] = float(value)
    return found
