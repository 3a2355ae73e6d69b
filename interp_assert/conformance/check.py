"""A check: one identity, compared on one input, judged with rounding told from faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..errors import BadEdit, UsageProblem
from ..models.batching import out_of_memory
from .double import everything_in_float64
from .finding import Example, Finding, Seen, Trap
from .passes import Passes

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["Check", "Comparison"]

SHRINKS = 1e-3
"""A difference that falls by this factor or more in float64 is rounding: float64 has 29 bits more than float32, so
rounding falls by eight orders. A fault keeps its size."""


@dataclass(frozen=True)
class Comparison:
    """What one identity compared on one input, in order of computation, and the traps it met on the way."""

    seen: Sequence[Seen]
    traps: tuple[Trap, ...] = ()


@dataclass(frozen=True)
class Check:
    """One identity that every model keeps.

    ``compare(passes, example)`` carries it out; ``lacks(passes)`` is the reason why it cannot be asked of a model, or
    None. ``rows`` and ``length`` bound the inputs that are tried, ``distinct`` demands that no token stands twice in
    a row, ``draws`` names what is drawn besides the ids, and of the examples that a budget allows one in ``costs`` is
    tried (two at least).
    """

    name: str
    identity: str
    compare: Callable[[Passes, Example], Comparison]
    lacks: Callable[[Passes], str | None] = lambda passes: None
    rows: tuple[int, int] = (1, 3)
    length: tuple[int, int] = (2, 10)
    distinct: bool = False
    draws: tuple[str, ...] = ()
    costs: int = 1

    def __call__(
        self,
        model: Model,
        ids: Any,
        *,
        position: int | None = None,
        edit: Any = None,
        passes: Passes | None = None,
    ) -> Finding:
        """Check the identity on ids (batch, pos). What is not given and the check needs: every position in turn, or
        the middle one, and an edit that rolls the features.

        Raises TokenOutOfRange, EmptyBatch or ContextTooShort for ids that the model cannot take, UsageProblem for ids
        of which nothing could be compared and for a position or an edit that the check has no use for, BadEdit for an
        edit that gives what cannot stand in a site's place.
        """
        from ..models import calling

        ids = calling.as_ids(
            ids, vocab_size=model.vocab_size, max_positions=model.max_positions, device=model.device, model=model.id
        )
        for axis, least, what in ((0, self.rows[0], "rows"), (1, self.length[0], "positions")):
            if ids.shape[axis] < least:
                raise UsageProblem(
                    f"{self.name} compares {least} {what} at least, and the ids have {ids.shape[axis]}: shape "
                    f"{tuple(ids.shape)}"
                )
        self._refuse_unused(ids.shape[1], position, edit)
        found = self.on(passes or Passes.of(model), Example(ids, position, edit))
        if edit is not None and isinstance(found.error, BadEdit):
            raise found.error
        return found

    def _refuse_unused(self, length: int, position: int | None, edit: Any) -> None:
        for name, value in (("position", position), ("edit", edit)):
            if value is not None and name not in self.draws:
                raise UsageProblem(f"{self.name} takes no {name}: it compares {' and '.join(('ids', *self.draws))}")
        if position is not None and not (isinstance(position, int) and 1 <= position < length):  # nothing is before 0
            raise UsageProblem(
                f"position is a whole number from 1 to {length - 1} for ids of {length} positions, not {position!r}"
            )

    def applies_to(self, model: Model) -> bool:
        """Whether the model has what the identity speaks of."""
        return self.lacks(Passes.of(model)) is None

    def on(self, passes: Passes, example: Example) -> Finding:
        """The finding on one example. What the model raises is a finding too: it cannot run valid ids."""
        try:
            found = self.compare(passes, example)
        except Exception as error:
            if out_of_memory(error):
                raise
            return Finding(self.name, self.identity, float("inf"), 0.0, None, example, "the model raises", error=error)
        return self._judge(passes, example, found)

    def _judge(self, passes: Passes, example: Example, found: Comparison) -> Finding:
        seen, traps, note = list(found.seen), found.traps, ""
        faults = [each for each in seen if not each.size <= _limit(each, passes)]
        if faults and not any(each.exact or not isfinite(each.size) for each in faults):
            exact = passes.in_float64
            rerun = exact if isinstance(exact, str) else self._rerun(exact, example)
            if isinstance(rerun, str):
                note = f"not told from rounding: {rerun}"
            else:
                traps = traps or rerun.traps
                seen, real = _settled(seen, rerun.seen, passes)
                first = (real or faults)[0]
                again = next((each.size for each in rerun.seen if each.place == first.place), first.size)
                note = f"{first.size:.2g} in {_format(passes)}, {again:.2g} in float64: "
                note += "too much for rounding" if real else "rounding"
                faults = real
        # Of several faults the first in order of computation is the one to look at; the others may follow from it.
        worst = faults[0] if faults else max(seen, key=lambda each: each.size, default=Seen(None, 0.0))
        what = (worst.what or f"it does not hold that {self.identity}") + worst.detail
        return Finding(
            self.name, self.identity, worst.size, _limit(worst, passes), worst.site, example, what, note, traps
        )

    def _rerun(self, exact: Passes, example: Example) -> Comparison | str:
        """The comparison in float64, or why there is none."""
        try:
            with everything_in_float64():
                return self.compare(exact, example)
        except (RuntimeError, TypeError, NotImplementedError) as error:  # kernels that know no float64
            return f"the copy in float64 fails: {str(error).splitlines()[0]}"


def _settled(seen: Sequence[Seen], rerun: Sequence[Seen], passes: Passes) -> tuple[list[Seen], list[Seen]]:
    """What was seen, with the sizes that float64 gives where they were above the limit; and what stays a fault.

    (Compared by place, not by number: a rerun may look at less, where it need not search for what is to blame.)
    """
    again = {each.place: each.size for each in rerun}
    settled, real = [], []
    for each in seen:
        if each.size <= _limit(each, passes):
            settled.append(each)
            continue
        exact = again.get(each.place, each.size)
        if exact <= min(SHRINKS * each.size, _limit(each, passes)):
            settled.append(replace(each, size=exact))
        else:
            real.append(each)
    return settled, real


def _limit(seen: Seen, passes: Passes) -> float:
    return 0.0 if seen.exact else passes.limit


def _format(passes: Passes) -> str:
    return str(passes.model.dtype).removeprefix("torch.")
