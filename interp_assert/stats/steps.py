"""A claim over the steps of a training: up to where it is shown not to hold, and from where on it is.

The verdicts of single steps are tested in a fixed order, from the first step on and from the last step back, and each
of these four tests (holds, does not hold; from either end) stops at the first step where nothing is established. A
test in fixed order needs no correction for the number of steps: it says something wrong only if it is wrong at the
first step, in its order, of which the opposite is true (Maurer, Hothorn & Lehmacher 1995). This holds however the steps
depend on each other, which they do: they are measured on the same prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .verdict import Outcome

__all__ = ["OverSteps", "StepErrors", "over_steps", "step_errors"]

_HOLDS, _HOLDS_NOT, _OPEN = True, False, None


@dataclass(frozen=True)
class OverSteps:
    """What is shown of one claim over ``steps``, in their order.

    ``outcomes`` has one entry for each step, None where the claim was not asked. ``head`` steps from the first on are
    shown to hold (``head_holds``) or not to, and so are ``tail`` steps up to the last. If they meet, or if all is the
    same, ``head == tail == len(steps)``. What was seen between the two ends is not part of what is shown.
    """

    steps: tuple[str, ...]
    outcomes: tuple[Outcome | None, ...]
    head: int
    tail: int

    @property
    def head_holds(self) -> bool | None:
        """Whether the claim holds at the first steps; None if nothing is established of the first."""
        return _state(self.outcomes[0]) if self.head else None

    @property
    def tail_holds(self) -> bool | None:
        """Whether the claim holds at the last steps; None if nothing is established of the last."""
        return _state(self.outcomes[-1]) if self.tail else None

    @property
    def throughout(self) -> bool:
        """Whether one thing is shown of all steps."""
        return self.head == len(self.steps)

    @property
    def between(self) -> tuple[tuple[str, Outcome | None], ...]:
        """Steps of which nothing is shown, with what was seen there."""
        inner = slice(self.head, len(self.steps) - self.tail) if not self.throughout else slice(0)
        return tuple(zip(self.steps[inner], self.outcomes[inner], strict=True))

    @property
    def first_holds(self) -> str | None:
        """The step from which on the claim is shown to hold, where it is shown not to before; the last step before it
        is ``last_without``. Every step in ``between`` could be the true one.
        """
        changed = self.head_holds is _HOLDS_NOT and self.tail_holds is _HOLDS
        return self.steps[-self.tail] if changed else None

    @property
    def first_lost(self) -> str | None:
        """The step from which on the claim is shown not to hold, where it is shown to before."""
        changed = self.head_holds is _HOLDS and self.tail_holds is _HOLDS_NOT
        return self.steps[-self.tail] if changed else None

    @property
    def last_before(self) -> str | None:
        """The last step of the head: up to there it was as at the first."""
        return self.steps[self.head - 1] if self.head else None


def over_steps(steps: Sequence[str], outcomes: Sequence[Outcome | None]) -> OverSteps:
    """What the verdicts of the steps show together.

    PASS holds, FAIL does not, and neither does NOT_APPLICABLE (what the claim speaks of is provably absent, which takes
    no test). INCONCLUSIVE, or a claim that was not asked, shows nothing and ends a test.
    """
    if len(steps) != len(outcomes) or not steps:
        raise ValueError(
            f"{len(steps)} steps and {len(outcomes)} outcomes: there must be one for each, and one at least"
        )
    states = [_state(outcome) for outcome in outcomes]
    return OverSteps(tuple(steps), tuple(outcomes), _run(states), _run(states[::-1]))


@dataclass(frozen=True)
class StepErrors:
    """The largest probabilities that any step is wrongly said to hold, and wrongly not to."""

    holds: float
    holds_not: float


def step_errors(levels: Mapping[str, float], controls: int = 0, *, verdicts: int = 2) -> StepErrors:
    """Of ``OverSteps``, whose two ends are two tests each, or, for all steps at once, of that many ``verdicts``.

    ``levels`` as results files have them: ``pass``, ``fail``, ``control`` and, if it is another, ``control_fail``.
    ``controls`` are those that a PASS requires and that have a test of their own: PASS needs the claim and all of them,
    so it is wrong with the largest of the levels; any of them can FAIL, so there levels add.
    """
    holds = max(levels["pass"], levels["control"]) if controls else levels["pass"]
    holds_not = levels["fail"] + controls * levels.get("control_fail", levels["control"])
    return StepErrors(min(1.0, verdicts * holds), min(1.0, verdicts * holds_not))


def _state(outcome: Outcome | None) -> bool | None:
    if outcome is Outcome.PASS:
        return _HOLDS
    return _HOLDS_NOT if outcome in (Outcome.FAIL, Outcome.NOT_APPLICABLE) else _OPEN


def _run(states: Sequence[bool | None]) -> int:
    """How many of the first states are the first one."""
    if states[0] is _OPEN:
        return 0
    return next((place for place, state in enumerate(states) if state is not states[0]), len(states))
