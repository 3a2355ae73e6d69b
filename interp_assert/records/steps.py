"""From the results of a run: each claim over the checkpoints of each training in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..models.sources.checkpoints import checkpoint_of, in_order
from ..stats import Outcome
from ..stats.steps import OverSteps, StepErrors, over_steps, step_errors
from .results import Results

__all__ = ["ClaimOverSteps", "Training", "claim_over_steps", "trainings"]


@dataclass(frozen=True)
class ClaimOverSteps:
    """One claim at every step of a training.

    ``checks`` are its entries of the results document, None where it was not asked; ``errors`` bound what ``shown``
    says, ``all_errors`` what all its verdicts say together (None where a claim is about every input, and has no error
    levels); ``approximate`` if a required control is.
    """

    name: str
    checks: tuple[Mapping[str, Any] | None, ...]
    shown: OverSteps
    errors: StepErrors | None
    all_errors: StepErrors | None
    approximate: bool


@dataclass(frozen=True)
class Training:
    """The checkpoints of one training, in its order, and the claims that were asked at more than one of them."""

    name: str
    steps: tuple[str, ...]
    models: tuple[str, ...]
    claims: tuple[ClaimOverSteps, ...]


def trainings(results: Results) -> tuple[Training, ...]:
    """Every training of which at least two checkpoints were models of the run, by their names (``checkpoint_of``)."""
    models: dict[str, dict[str, str]] = {}
    for model in results.models:
        if (found := checkpoint_of(model["id"])) is not None:
            models.setdefault(found.training, {})[found.step] = model["id"]
    return tuple(_training(name, steps, results.checks) for name, steps in models.items() if len(steps) > 1)


def _training(name: str, models: Mapping[str, str], checks: Sequence[Mapping[str, Any]]) -> Training:
    steps = tuple(in_order(models))
    step_of = {model: step for step, model in models.items()}
    claims: dict[tuple[str, str, int], dict[str, Mapping[str, Any]]] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for check in checks:
        if check["model"] in step_of:
            where = str(check.get("nodeid", "")).replace(_as_in_ids(check["model"]), "")
            again = seen[check["model"], check["check"], where]
            seen[check["model"], check["check"], where] += 1
            claims.setdefault((check["check"], where, again), {})[step_of[check["model"]]] = check
    several = [key[0] for key in claims]
    named = {
        key: key[0] if several.count(key[0]) == 1 else f"{key[0]} ({key[1].rpartition('::')[2].partition('[')[0]})"
        for key in claims
    }
    made = (claim_over_steps(named[key], steps, found) for key, found in claims.items() if len(found) > 1)
    return Training(name, steps, tuple(models[step] for step in steps), tuple(made))


def _as_in_ids(model: str) -> str:
    """As pytest writes a model's name into node ids."""
    return model.encode("unicode_escape").decode("ascii")


def claim_over_steps(name: str, steps: tuple[str, ...], found: Mapping[str, Mapping[str, Any]]) -> ClaimOverSteps:
    checks = tuple(found.get(step) for step in steps)
    shown = over_steps(steps, [None if check is None else Outcome(check["verdict"]) for check in checks])
    asked = [check for check in checks if check is not None]
    levels = [check["levels"] for check in asked if check.get("levels") is not None]
    controls = [
        [one for one in check["controls"] if one.get("required", True) and not one["details"].get("is_claim", False)]
        for check in asked
    ]
    errors = all_errors = None
    if levels:
        loosest = {
            "pass": max(one["pass"] for one in levels),
            "fail": max(one["fail"] for one in levels),
            "control": max(one["control"] for one in levels),
            "control_fail": max(one.get("control_fail", one["control"]) for one in levels),
        }
        most = max(map(len, controls))
        errors = step_errors(loosest, most)
        all_errors = step_errors(loosest, most, verdicts=len(asked))
    approximate = any(one.get("approximate", False) for each in controls for one in each)
    return ClaimOverSteps(name, checks, shown, errors, all_errors, approximate)
