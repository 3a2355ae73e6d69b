"""A gate as it is run: every model with every claim about it, nothing left to look up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Gate", "GateClaim", "GateModel", "KnownSuite", "Waiver"]


class KnownSuite(Protocol):
    """What a gate must know of a suite: its name, the checks that it decides, and what each can be told."""

    @property
    def name(self) -> str: ...
    @property
    def checks(self) -> tuple[str, ...]: ...
    @property
    def floors(self) -> tuple[float, float] | None: ...
    @property
    def no_floor(self) -> tuple[str, ...]: ...
    @property
    def limits(self) -> tuple[str, ...]: ...
    @property
    def must_have_limit(self) -> tuple[str, ...]: ...
    @property
    def sites(self) -> tuple[str, ...]: ...
    @property
    def needs_base(self) -> bool: ...


@dataclass(frozen=True)
class Waiver:
    """Why a claim may fail, who answers for it, and the last day on which it may."""

    reason: str
    owner: str
    expires: date


@dataclass(frozen=True)
class GateClaim:
    """One claim about one model. ``floor`` is also the limit of a check where lower is better; ``alpha_fail`` and
    ``alpha_control_fail`` have their share of the gate's false alarms in them.
    """

    check: str
    suite: str
    floor: float | None
    site: str | None
    budget: str
    alpha_pass: float
    alpha_fail: float
    alpha_control_fail: float | None
    advisory: bool
    waiver: Waiver | None
    why: str | None

    @property
    def can_block(self) -> bool:
        """Whether a FAIL stops the release."""
        return not self.advisory and self.waiver is None

    def as_dict(self, model: str) -> dict[str, Any]:
        """The claim in the results file."""
        waiver = None
        if self.waiver is not None:
            expires = self.waiver.expires.isoformat()
            waiver = {"reason": self.waiver.reason, "owner": self.waiver.owner, "expires": expires}
        return {
            "model": model,
            "check": self.check,
            "advisory": self.advisory,
            "waiver": waiver,
            "floor": self.floor,
            "site": self.site,
            "budget": self.budget,
            "levels": {"pass": self.alpha_pass, "fail": self.alpha_fail},
            "why": self.why,
        }


@dataclass(frozen=True)
class GateModel:
    """A model of the gate: ``id`` is what is opened, ``label`` what reports call it, and so for its base."""

    id: str
    label: str
    base: tuple[str, str] | None
    coder: Path | None
    sha256: str | None
    claims: tuple[GateClaim, ...]


@dataclass(frozen=True)
class Gate:
    """A gate file, resolved. ``shown`` is the file as messages have it, ``places`` where each model is written in it,
    in words, and ``lines`` the line of each, counted from 1."""

    name: str
    shown: str
    sha256: str
    description: str | None
    false_alarms: float
    seed: int | None
    models: tuple[GateModel, ...]
    places: Mapping[str, str]
    lines: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """What the results file says of the gate before anything has run; builtins only."""
        return {
            "name": self.name,
            "file": self.shown,
            "sha256": self.sha256,
            "description": self.description,
            "false_alarms": self.false_alarms,
            "models": [
                {"model": model.label, "sha256": model.sha256, "line": self.lines[model.label]} for model in self.models
            ],
            "claims": [claim.as_dict(model.label) for model in self.models for claim in model.claims],
        }
