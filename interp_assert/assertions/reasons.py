"""Why a verdict is not PASS, in a sentence, and how to get it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ContextTooShort, SiteNotAvailable
from ..prompts import CannotSample, PoolTooSmall
from ..stats import (
    QUICK,
    STANDARD,
    THOROUGH,
    Budget,
    ControlResult,
    Cost,
    ErrorLevels,
    Outcome,
    SequentialGate,
    Verdict,
)

if TYPE_CHECKING:
    from ..models import Model

LACKING = (SiteNotAvailable, ContextTooShort, PoolTooSmall, CannotSample)
"""what a measuring function raises where the model lacks what it needs: NOT_APPLICABLE, with its message"""

NAMED_BUDGETS = {budget.name: budget for budget in (QUICK, STANDARD, THOROUGH)}

__all__ = ["LACKING", "Named", "changed_settings", "not_applicable", "reason_of", "reproduce", "sees_the_future"]


def reason_of(outcome: Outcome, claim: SequentialGate, controls: Sequence[ControlResult]) -> str:
    """Empty on PASS; else who failed or who is undecided."""
    required = [control for control in controls if control.required and not control.details.get("is_claim")]
    if outcome is Outcome.FAIL:
        failed = ["the claim's opposite is established"] if claim.outcome is Outcome.FAIL else []
        failed += [
            c.details.get("failed", f"control {c.name} does as well as the model")
            for c in required
            if c.outcome is Outcome.FAIL
        ]
        return "; ".join(failed)
    if outcome is Outcome.INCONCLUSIVE:
        undecided = ["the claim"] if claim.outcome is Outcome.INCONCLUSIVE else []
        undecided += [f"control {c.name}" for c in required if c.outcome is Outcome.INCONCLUSIVE]
        twins = any(c.name == "random_weights" and c.outcome is Outcome.INCONCLUSIVE for c in required)
        least = claim.least() if claim.outcome is Outcome.INCONCLUSIVE else None
        said = [f"not decided: {', '.join(undecided)}"]
        said += ["more twins may decide random_weights"] if twins else []
        if least is not None and least > claim.n:
            said.append(f"even without a fault it takes {least} clusters, and there were {claim.n}")
        return "; ".join(said)
    if outcome is Outcome.NOT_APPLICABLE:
        lacking = [c for c in required if c.outcome is Outcome.NOT_APPLICABLE]
        return "; ".join(f"control {c.name} cannot be measured: {c.note}" for c in lacking)
    return ""


def sees_the_future(model: Model) -> str | None:
    """Why predictions of this model say nothing: it is not causal."""
    reason = model.anatomy.missing.get("causality")
    return None if reason is None else f"it is no causal language model ({reason})"


def not_applicable(
    check: str,
    model: Model,
    layer: str | None,
    claim: str,
    reason: str,
    levels: ErrorLevels | None,
    details: Mapping[str, Any],
    cost: Cost,
) -> Verdict:
    """The verdict on a model that lacks what the claim speaks of: no estimate, no controls, the reason."""
    return Verdict(
        check=check,
        outcome=Outcome.NOT_APPLICABLE,
        model=model.id,
        layer=layer,
        claim=claim,
        estimate=None,
        interval=None,
        n=0,
        threshold=None,
        direction="higher",
        levels=levels,
        controls=(),
        details=details,
        cost=cost,
        reason=reason,
        claim_outcome=Outcome.NOT_APPLICABLE,
    )


def changed_settings(
    budget: Budget, levels: ErrorLevels, twins: int | None, scheme: str, default_scheme: str
) -> dict[str, object]:
    """What ``reproduce`` has to name of the settings that decide how long is measured: those that are not the
    defaults."""
    named = NAMED_BUDGETS.get(budget.name) == budget
    return {
        "budget": None if budget == STANDARD else budget.name if named else budget.clusters,
        "levels": None if levels == ErrorLevels() else levels,
        "twins": twins,
        "scheme": None if scheme == default_scheme else scheme,
    }


@dataclass(frozen=True)
class Named:
    """An argument that cannot be written out: ``reproduce`` gives the name of a variable for it."""

    name: str

    def __repr__(self) -> str:
        return self.name


def reproduce(function: str, model: str, **arguments: object) -> str:
    """A line of Python that repeats the assertion."""
    given = "".join(f", {name}={value!r}" for name, value in arguments.items() if value is not None)
    return f"{function}(load({model!r}){given})"
