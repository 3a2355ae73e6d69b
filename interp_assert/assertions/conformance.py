"""``assert_conforms``: an identity that every model keeps, on every input that was tried."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from ..errors import UsageProblem
from ..prompts import PoolTooSmall
from ..stats import Budget, Cost, Outcome, Verdict
from .asked import budget_of, model_of, seed_of
from .asserting import asserted
from .progress import report
from .reasons import not_applicable
from .recording import conclude

if TYPE_CHECKING:
    from ..conformance import Check, Finding, Searched
    from ..models import Model

__all__ = ["assert_conforms"]


@asserted
def assert_conforms(
    model: Model,
    check: str,
    *,
    ids: Any = None,
    position: int | None = None,
    edit: Any = None,
    budget: Budget | str | int | None = None,
    seed: int = 0,
) -> Verdict:
    """Claim that a model keeps one of the identities of ``conformance.CHECKS`` (``"causality"``, ``"chain"``, ...).

    Inputs are searched for one on which it does not hold, as many as the ``budget`` allows (quick 4, standard 8,
    thorough 64; a quarter to an eighth of that for checks that run many passes), and what is found is shrunk. With
    ``ids`` (batch, pos) the identity is checked on these alone, with ``position`` and ``edit`` if given. A
    difference that vanishes in a copy in float64 is rounding. The verdict depends on the model, the budget and the
    seed only. It has no error levels: PASS says that no counterexample was found among n inputs, FAIL shows one.

    Returns the Verdict on PASS. Raises InterpAssertionError on FAIL, naming identity, site, size and input;
    NotApplicable if the model lacks what the identity speaks of; UsageProblem for an unknown check and for arguments
    that it cannot use.
    """
    from ..conformance import Passes, Searched, search

    model, chosen, allowed, seed = model_of(model), _check(check), budget_of(budget), seed_of(seed)
    if ids is None and (position is not None or edit is not None):
        raise UsageProblem(
            f"a position or an edit goes with ids to try it on: assert_conforms(..., {check!r}, ids=...)"
        )
    name = f"anatomy/{chosen.name}"
    with model.metered() as span:
        passes = Passes.of(model)
        reason = chosen.lacks(passes)
        if reason is not None:
            return conclude(not_applicable(name, model, None, chosen.identity, reason, None, {}, span.cost))
        if ids is not None:
            found = chosen(model, ids, position=position, edit=edit, passes=passes)
            searched = Searched(found, 1, found.traps)
        else:

            def each(done: int, most: int) -> None:
                report(name, model.id, done, most)

            try:
                searched = search(model, chosen, budget=allowed, seed=seed, passes=passes, each=each)
            except PoolTooSmall as problem:
                return conclude(not_applicable(name, model, None, chosen.identity, str(problem), None, {}, span.cost))
    verdict = _verdict(model, chosen, searched, span.cost)
    return conclude(verdict, searched.finding.error)


def _check(name: str) -> Check:
    from ..conformance import CHECKS

    known = str(name).removeprefix("anatomy/")
    if known not in CHECKS:
        raise UsageProblem(f"no check {name!r}; there are {', '.join(CHECKS)}")
    return CHECKS[known]


def _verdict(model: Model, check: Check, searched: Searched, cost: Cost) -> Verdict:
    finding = searched.finding
    finite = isfinite(finding.size)
    outcome = Outcome.PASS if finding.holds else Outcome.FAIL
    return Verdict(
        check=f"anatomy/{check.name}",
        outcome=outcome,
        model=model.id,
        layer=finding.site,
        claim=f"{check.identity}, on every input that is tried",
        estimate=finding.size if finite else None,
        interval=None,
        n=searched.tried,
        threshold=finding.limit if finite else None,
        direction="lower",
        levels=None,
        controls=(),
        details=_details(model, check, searched),
        cost=cost,
        reason=finding.fault,
        claim_outcome=outcome,
    )


def _details(model: Model, check: Check, searched: Searched) -> dict[str, Any]:
    finding = searched.finding
    details: dict[str, Any] = {
        "quantity": "relative difference",
        "exact": finding.limit == 0,
        "note": finding.note,
        "traps": [str(trap) for trap in searched.traps],
        "inputs": searched.tried,
    }
    profile = {"rounding": finding.note} if finding.note else {}
    if searched.traps:
        profile["trap"] = "; ".join(details["traps"])
    if not finding.holds:
        details["example"] = {"ids": finding.example.rows, **_arguments(finding)}
        profile["input"] = repr(finding.example)
        if model.identity.kind != "module":
            given = "".join(f", {name}={value!r}" for name, value in _arguments(finding).items())
            details["reproduce"] = (
                f"assert_conforms(load({model.id!r}), {check.name!r}, ids={finding.example.rows}{given})"
            )
    return {**details, "profile": profile}


def _arguments(finding: Finding) -> dict[str, Any]:
    """What was drawn besides the ids, as it can be written down."""
    drawn = finding.example.arguments()
    return {name: value if isinstance(value, (int, str)) else _Expression(value) for name, value in drawn.items()}


class _Expression(str):
    """An edit, by the expression that makes it."""

    def __new__(cls, edit: Any) -> _Expression:
        return super().__new__(cls, f"edits.{edit!r}")

    def __repr__(self) -> str:
        return str(self)
