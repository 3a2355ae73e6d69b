"""The verdict on drift: which of several limits leads it, and why it is not PASS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...stats import (
    STANDARD,
    THOROUGH,
    Budget,
    ControlResult,
    Cost,
    ErrorLevels,
    Measurement,
    Outcome,
    Verdict,
    combine,
)
from .gated import Gated
from .limits import LIMITS
from .readings import FIRST

if TYPE_CHECKING:
    from ...models import Model

__all__ = ["drift_verdict"]


def drift_verdict(
    check: str,
    model: Model,
    base: Model,
    limits: Mapping[str, float],
    judged: Sequence[Gated],
    twin_control: ControlResult | None,
    *,
    allowed: Budget,
    measurements: Sequence[Measurement],
    details: Mapping[str, Any],
    levels: ErrorLevels,
    cost: Cost,
) -> Verdict:
    """All limits and the control together. The first limit with the worst outcome is the claim of the verdict, the
    others stand among its controls; ``details["judged"]`` has them all in order.
    """
    order = (Outcome.FAIL, Outcome.NOT_APPLICABLE, Outcome.INCONCLUSIVE, Outcome.PASS)
    leading = min(judged, key=lambda limit: order.index(limit.outcome))
    results = [limit.result() for limit in judged if limit is not leading]
    controls = (*results, *(() if twin_control is None else (twin_control,)))
    outcome = combine(leading.outcome, controls)
    estimate, interval, n = leading.stated()
    own = leading.result()
    told = {"quantity": f"{own.name} (from {base.id})", "judged": [limit.result().as_dict() for limit in judged]}
    bounds = ", ".join(f"{LIMITS[name].title} {_sign(name)} {limit:g}" for name, limit in limits.items())
    return Verdict(
        check=check,
        outcome=outcome,
        model=model.id,
        layer=leading.layer or ("output" if leading.kind.part in ("output", "text") else None),
        claim=f"drift from {base.id}: {bounds}",
        estimate=estimate,
        interval=interval,
        n=n,
        threshold=None if estimate is None else leading.limit,
        direction=leading.kind.direction,
        levels=levels,
        controls=controls,
        details={**details, **told},
        cost=cost,
        needed=_needed(judged) if outcome is Outcome.INCONCLUSIVE else None,
        reason=_reason(outcome, judged, twin_control, details["claims"], allowed),
        claim_outcome=leading.outcome,
        measurements=tuple(measurements),
    )


def _reason(
    outcome: Outcome,
    judged: Sequence[Gated],
    twin_control: ControlResult | None,
    claims: Sequence[Mapping[str, Any]],
    allowed: Budget,
) -> str:
    """Empty on PASS; else which limit, with the reason."""
    if outcome is Outcome.PASS:
        return ""
    results = [limit.result() for limit in judged]
    named = [
        f"{r.name} {_place(limit.layer)}".rstrip()
        for limit, r in zip(judged, results, strict=True)
        if r.outcome is outcome
    ]
    twins = [] if twin_control is None or not twin_control.required else [twin_control]
    if outcome is Outcome.FAIL:
        said = [f"beyond the limit: {', '.join(named)}"] if named else []
        said += ["the model's random-weights twins are as near to the base" for c in twins if c.outcome is outcome]
        flipped = ", ".join(f"{claim['claim']} ({claim['change']})" for claim in claims if claim["flipped"])
        said += [f"flipped: {flipped}"] if flipped else []
        return "; ".join(said)
    if outcome is Outcome.NOT_APPLICABLE:
        return "; ".join(dict.fromkeys(r.note for r in results if r.outcome is outcome))
    named += ["control random_weights" for c in twins if c.outcome is outcome]
    few = any(limit.approximate and limit.outcome is outcome and limit.figures()[2] < FIRST for limit in judged)
    said = [f"not decided: {', '.join(named)}"] + (
        [f"approximate limits need {FIRST} documents at least"] if few else []
    )
    return "; ".join([text for limit in judged if (text := _out_of_reach(limit, outcome, allowed))] + said)


def _out_of_reach(limit: Gated, outcome: Outcome, allowed: Budget) -> str:
    """What to say of a limit that the budget is too small for, whatever the model does; else empty."""
    least = limit.least()
    if limit.outcome is not outcome or least is None or least <= allowed.clusters:
        return ""
    larger = next((budget for budget in (STANDARD, THOROUGH) if budget.clusters >= least), None)
    remedy = f"budget={least}" if larger is None else f"{larger.name} ({larger.clusters:,}) would"
    return (
        f"the budget {allowed.name} ({allowed.clusters:,} clusters) cannot establish {limit.result().name} "
        f"{_sign(limit.kind.name)} {limit.limit:g}, whatever the model does: that takes {least} clusters even if "
        f"nothing has changed, {remedy}; or choose a wider limit"
    )


def _needed(judged: Sequence[Gated]) -> int | None:
    needs = [(limit.needed(), limit.least()) for limit in judged if limit.outcome is Outcome.INCONCLUSIVE]
    if not needs or any(need is None for need, _ in needs):
        return None
    return max(max(need or 0, least or 0) for need, least in needs)


def _place(layer: str | None) -> str:
    """``at block 3``, ``outside the blocks``."""
    return "" if layer is None else layer if layer.startswith("outside") else f"at {layer}"


def _sign(name: str) -> str:
    return "<" if LIMITS[name].direction == "lower" else ">"
