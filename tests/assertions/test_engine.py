"""Batches that grow, stops that depend on decisions only, halved batches that are told."""

from __future__ import annotations

import warnings

import pytest

from interp_assert.assertions.engine import batch_sizes, draw_until_decided, halvings, needed_in_all, whole_budget
from interp_assert.models import BatchHalved
from interp_assert.stats import ControlResult, Outcome, SequentialGate


@pytest.mark.parametrize(
    ("first", "at_most", "batches"),
    [
        (64, 512, [(0, 64), (64, 64), (128, 128), (256, 256)]),
        (64, 100, [(0, 64), (64, 36)]),
        (64, 64, [(0, 64)]),
        (64, 5, [(0, 5)]),
    ],
)
def test_batches_double_up_to_the_budget(first: int, at_most: int, batches: list[tuple[int, int]]) -> None:
    assert list(batch_sizes(first, at_most)) == batches


@pytest.mark.parametrize(
    ("reached", "drawn"),
    [
        ([Outcome.PASS, Outcome.PASS], 64),
        ([Outcome.INCONCLUSIVE, Outcome.FAIL], 64),
        ([Outcome.PASS, Outcome.INCONCLUSIVE], 200),
    ],
)
def test_drawing_stops_when_all_is_decided_or_a_fail_established(reached: list[Outcome], drawn: int) -> None:
    counts: list[int] = []
    draw_until_decided(
        "c", "m", first=64, at_most=200, draw=lambda start, count: counts.append(count), outcomes=lambda: reached
    )
    assert sum(counts) == drawn


def test_the_whole_budget_is_drawn_where_that_is_asked_for() -> None:
    counts: list[int] = []

    def draw() -> None:
        draw_until_decided(
            "c", "m", first=64, at_most=200, draw=lambda _, n: counts.append(n), outcomes=lambda: [Outcome.PASS]
        )

    with whole_budget():
        draw()
    draw()
    assert counts == [64, 64, 72, 64]


def test_the_greediest_undecided_part_says_what_is_needed() -> None:
    gate = SequentialGate(0.5)
    gate.update([0.6] * 20)
    slow = ControlResult("slow", Outcome.INCONCLUSIVE, 0.1, None, 0.05, 20, details={"needed": 10_000})
    fast = ControlResult("fast", Outcome.PASS, 0.1, None, 0.05, 20, details={"needed": None})
    mute = ControlResult("mute", Outcome.INCONCLUSIVE, 0.1, None, 0.05, 20)
    assert needed_in_all(gate, [slow, fast]) == 10_000
    assert needed_in_all(gate, [fast]) == gate.needed()
    assert needed_in_all(gate, [slow, mute]) is None


def halve(*, fail: bool) -> list[str]:
    with halvings() as messages:
        warnings.warn("going on with half", BatchHalved, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
        if fail:
            raise KeyError
    return messages


def test_halved_batches_are_kept_and_all_warnings_still_given() -> None:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        messages = halve(fail=False)
    assert messages == ["going on with half"]
    assert [str(w.message) for w in given] == ["going on with half", "something else"]


def test_warnings_survive_an_exception() -> None:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        with pytest.raises(KeyError):
            halve(fail=True)
    assert len(given) == 2
