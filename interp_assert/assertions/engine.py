"""Draw clusters in growing batches until the claim and its sequential controls are decided, or the budget is spent."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from ..stats import ControlResult, Outcome, SequentialGate
from .progress import report

__all__ = ["batch_sizes", "draw_until_decided", "halvings", "measures_whole_budget", "needed_in_all", "whole_budget"]

_whole: ContextVar[bool] = ContextVar("interp_assert_whole_budget", default=False)


def batch_sizes(first: int, at_most: int) -> Iterator[tuple[int, int]]:
    """(start, count) of batches that double the clusters drawn: 64, 64, 128, 256, ... up to ``at_most`` in all.

    The sizes are fixed in advance, so what is measured depends on the seed and the decisions only.
    """
    start, end = 0, min(first, at_most)
    while start < at_most:
        yield start, end - start
        start, end = end, min(2 * end, at_most)


@contextmanager
def whole_budget() -> Iterator[None]:
    """Inside the ``with`` block claims measure all clusters of their budget, decided or not, so that measurements of
    other models and other days compare with them pair by pair.

    No verdict changes: a gate stops counting where it decides.
    """
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


def measures_whole_budget() -> bool:
    """Whether claims are inside ``whole_budget``."""
    return _whole.get()


def draw_until_decided(
    check: str,
    model: str,
    *,
    first: int,
    at_most: int,
    draw: Callable[[int, int], None],
    outcomes: Callable[[], Sequence[Outcome]],
) -> None:
    """Call ``draw(start, count)``, which feeds the gates, until every outcome is decided or one is FAIL; inside
    ``whole_budget`` up to ``at_most`` in any case.

    The gates themselves look after every cluster and stop where they decide; a batch only says how far ahead the model
    has been run.
    """
    for start, count in batch_sizes(first, at_most):
        report(check, model, start, at_most)
        draw(start, count)
        reached = outcomes()
        if not measures_whole_budget() and (Outcome.FAIL in reached or Outcome.INCONCLUSIVE not in reached):
            report(check, model, start + count, at_most)
            return
    report(check, model, at_most, at_most)


def needed_in_all(claim: SequentialGate, controls: Sequence[ControlResult]) -> int | None:
    """Clusters that the undecided gates would probably need, the greediest counted; None if one cannot say.

    Comparisons with twins are left out: more clusters do not decide them, more twins may.
    """
    needs = [claim.needed()] if claim.outcome is Outcome.INCONCLUSIVE else []
    for control in controls:
        if control.required and not control.approximate and control.outcome is Outcome.INCONCLUSIVE:
            needs.append(control.details.get("needed"))
    known = [need for need in needs if need is not None]
    return max(known) if known and len(known) == len(needs) else None


@contextmanager
def halvings() -> Iterator[list[str]]:
    """The messages of batches that were halved for want of memory; all warnings still reach the user."""
    from ..models import BatchHalved

    messages: list[str] = []
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", BatchHalved)
            try:
                yield messages
            finally:
                messages += [str(w.message) for w in caught if issubclass(w.category, BatchHalved)]
    finally:
        for w in caught:
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno, source=w.source)
