"""What the verdicts of a training's steps show together, and how often that is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from interp_assert.stats import Outcome, over_steps
from interp_assert.stats.steps import step_errors

LETTERS = {
    "P": Outcome.PASS,
    "F": Outcome.FAIL,
    "i": Outcome.INCONCLUSIVE,
    "n": Outcome.NOT_APPLICABLE,
    "-": None,
}


@pytest.mark.parametrize(
    ("seen", "first_holds", "first_lost", "between"),
    [
        ("FFPP", "3", None, ""),
        ("nFPP", "3", None, ""),
        ("FFiP", "4", None, "3"),
        ("FF-P", "4", None, "3"),
        ("FPFP", "4", None, "23"),
        ("PPFF", None, "3", ""),
        ("PiiF", None, "4", "23"),
        ("PPPn", None, "4", ""),
        ("PPPP", None, None, ""),
        ("FFFF", None, None, ""),
        ("FPPF", None, None, "23"),
        ("PFFP", None, None, "23"),
        ("iFPP", None, None, "12"),
        ("FFPi", None, None, "34"),
        ("iiii", None, None, "1234"),
        ("P", None, None, ""),
    ],
)
def test_a_change_is_told_only_between_ends_that_are_established(
    seen: str, first_holds: str | None, first_lost: str | None, between: str
) -> None:
    steps = [str(place + 1) for place in range(len(seen))]
    shown = over_steps(steps, [LETTERS[letter] for letter in seen])
    assert (shown.first_holds, shown.first_lost) == (first_holds, first_lost)
    assert "".join(step for step, _ in shown.between) == between
    assert shown.throughout is (len(set(seen)) == 1 and seen[0] in "PF")


def test_as_many_outcomes_as_steps_are_needed() -> None:
    for steps, outcomes in ((["1"], []), ([], [])):
        with pytest.raises(ValueError, match="one for each"):
            over_steps(steps, outcomes)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_errors_are_held_whatever_the_number_of_steps(correlation: float) -> None:
    """Forty steps on the boundary, where each verdict errs exactly as often as it may. Some verdict of the forty errs
    in a third of the runs if they are independent; what is shown of both ends errs no more than it says."""
    allowed = step_errors({"pass": 0.01, "fail": 0.01, "control": 0.01})
    steps, runs = 40, 2000
    truth = np.arange(steps) >= 25
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(runs, 1)), rng.normal(size=(runs, steps))
    errs = (correlation**0.5 * shared + (1 - correlation) ** 0.5 * own) * np.where(truth, -1, 1) > 2.3263
    wrong = 0
    for row in errs:
        outcomes = [Outcome.PASS if holds != err else Outcome.FAIL for holds, err in zip(truth, row, strict=True)]
        shown = over_steps([str(step) for step in range(steps)], outcomes)
        head, tail = truth[: shown.head], truth[steps - shown.tail :]
        wrong += bool((head != shown.head_holds).any() or (tail != shown.tail_holds).any())
    assert 0 < wrong / runs <= allowed.holds + allowed.holds_not
    if not correlation:
        assert errs.any(axis=1).mean() > 0.3


def test_controls_count_once_for_a_pass_and_each_for_a_fail() -> None:
    levels = {"pass": 0.005, "fail": 0.001, "control": 0.01}
    errors = step_errors(levels, 2)
    assert (errors.holds, errors.holds_not) == (0.02, pytest.approx(0.042))
    stricter = step_errors({**levels, "control_fail": 0.0001}, 2)
    assert (stricter.holds, stricter.holds_not) == (0.02, pytest.approx(0.0024))
    alone = step_errors(levels)
    assert (alone.holds, alone.holds_not) == (0.01, 0.002)
    assert step_errors(levels, 2, verdicts=1000).holds == 1.0
