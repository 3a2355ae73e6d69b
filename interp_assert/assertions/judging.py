"""The verdict on a claim whose gate and controls have been fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..stats import ControlResult, Cost, ErrorLevels, Measurement, Outcome, SequentialGate, Verdict, combine
from .engine import needed_in_all
from .reasons import reason_of

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["judged"]


def judged(
    check: str,
    model: Model,
    gate: SequentialGate,
    controls: Sequence[ControlResult],
    *,
    claim: str,
    levels: ErrorLevels,
    details: Mapping[str, Any],
    cost: Cost,
    layer: str | None = None,
    measurements: Sequence[Measurement] = (),
    population: int | None = None,
) -> Verdict:
    """What the claim's gate and its required controls say together, with the reason if that is not PASS.

    ``claim`` is the sentence, ``cost`` that of everything, controls included. The controls are in the order in which
    they are told. ``population`` is the length of the list that was measured, if the gate does not know it.
    """
    outcome = combine(gate.outcome, controls)
    return Verdict(
        check=check,
        outcome=outcome,
        model=model.id,
        layer=layer,
        claim=claim,
        estimate=gate.estimate,
        interval=gate.interval,
        n=gate.n,
        threshold=gate.threshold,
        direction=gate.direction,
        levels=levels,
        controls=tuple(controls),
        details=details,
        cost=cost,
        needed=needed_in_all(gate, controls) if outcome is Outcome.INCONCLUSIVE else None,
        reason=reason_of(outcome, gate, controls),
        claim_outcome=gate.outcome,
        measurements=tuple(measurements),
        population=gate.population if population is None else population,
    )
