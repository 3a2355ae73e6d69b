"""The search for an input on which a check does not hold: hypothesis tries as many as a budget allows, and shrinks what
it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .check import Check
from .finding import Example, Finding, Trap
from .passes import Passes

if TYPE_CHECKING:
    from hypothesis import strategies as st

    from ..models import Model
    from ..stats import Budget

__all__ = ["Searched", "examples", "search"]


@dataclass(frozen=True)
class Searched:
    """What a search found: the smallest fault, or the largest difference that rounding explains; the number of inputs
    that were tried, and the traps that were met."""

    finding: Finding
    tried: int
    traps: tuple[Trap, ...]


def examples(passes: Passes, check: Check) -> st.SearchStrategy[Example]:
    """The inputs of a check for one model, as its ``rows``, ``length`` and ``draws`` say."""
    from hypothesis import strategies as st

    from .. import strategies

    batches = strategies.token_ids(passes.model, rows=check.rows, length=check.length, distinct=check.distinct)

    @st.composite
    def example(draw: st.DrawFn) -> Example:
        ids = draw(batches)
        return Example(
            ids,
            position=draw(strategies.positions(ids, first=1)) if "position" in check.draws else None,
            edit=draw(strategies.edits()) if "edit" in check.draws else None,
        )

    return example()


def search(
    model: Model,
    check: Check,
    *,
    budget: Budget | str = "standard",
    seed: int = 0,
    passes: Passes | None = None,
    each: Callable[[int, int], None] | None = None,
) -> Searched:
    """Try a check on as many inputs as the budget allows; ``each`` is told how many of how many have been tried."""
    from .. import strategies

    passes = passes or Passes.of(model)
    findings: list[Finding] = []
    # hypothesis begins with the smallest example: two at least, so that one is drawn.
    most = max(2, strategies.n_examples(budget) // check.costs)

    def fault(example: Example) -> Finding | None:
        findings.append(check.on(passes, example))
        if each is not None:
            each(min(len(findings), most), most)
        return None if findings[-1].holds else findings[-1]

    found = strategies.smallest(examples(passes, check), fault, examples=most, seed=seed)
    finding = max(findings, key=lambda each: each.size) if found is None else found.failure
    traps = {trap.name: trap for each in findings for trap in each.traps}
    return Searched(finding, len(findings), tuple(traps.values()))
