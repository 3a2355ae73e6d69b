"""Paired non-inferiority on fixed clusters: known cases, error rates at the boundary, and what cannot be decided."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.stats import ErrorLevels, Outcome
from interp_assert.stats.not_worse import Change, not_worse, tolerated_loss

shares = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60)


def change(before: object, now: object, **given: object) -> Change:
    usual: dict[str, object] = {"lo": 0.0, "hi": 1.0, "direction": "higher", "limit": 0.05}
    return not_worse(before, now, **usual | given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "now", "outcome"),
    [
        (np.full(512, 0.98), np.full(512, 0.98), Outcome.PASS),
        (np.full(512, 0.98), np.full(512, 0.97), Outcome.PASS),
        (np.full(512, 0.98), np.full(512, 0.80), Outcome.FAIL),
        (np.full(512, 0.98), np.full(512, 0.93), Outcome.INCONCLUSIVE),
        (np.full(512, 0.10), np.full(512, 0.90), Outcome.PASS),
        (np.full(64, 0.98), np.full(64, 0.98), Outcome.INCONCLUSIVE),
        (np.full(64, 1.0), np.zeros(64), Outcome.FAIL),
    ],
)
def test_draws_from_an_endless_supply(before: np.ndarray, now: np.ndarray, outcome: Outcome) -> None:
    found = change(before, now)
    assert found.outcome is outcome
    assert found.interval[0] <= found.change <= found.interval[1]
    assert (found.n, found.approximate) == (before.size, False)


def test_where_lower_is_better_the_signs_turn() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.random(300), rng.random(300)
    up = change(before, now)
    down = change(1 - before, 1 - now, direction="lower")
    assert down.outcome is up.outcome
    assert down.interval == pytest.approx((-up.interval[1], -up.interval[0]))


@pytest.mark.parametrize(("lost", "outcome"), [(0, "PASS"), (1, "PASS"), (2, "FAIL"), (20, "FAIL")])
def test_a_list_measured_whole_is_always_decided(lost: int, outcome: str) -> None:
    """One of twenty is exactly the limit, which may be lost."""
    now = np.ones(20)
    now[:lost] = 0.0
    found = change(np.ones(20), now, whole_list=True)
    assert found.outcome.value == outcome
    assert found.interval == pytest.approx((-lost / 20, -lost / 20))


def test_each_end_has_an_error_level_of_its_own() -> None:
    """The end that must clear the limit that of a wrong PASS, whichever way is better."""
    before, now = np.full(200, 0.5), np.full(200, 0.48)
    for direction, end in (("higher", 0), ("lower", 1)):
        usual = change(before, now, direction=direction).interval
        surer = change(before, now, direction=direction, levels=ErrorLevels(pass_=1e-6)).interval
        assert abs(surer[end]) > abs(usual[end])
        assert surer[1 - end] == usual[1 - end]
        surer = change(before, now, direction=direction, levels=ErrorLevels(fail=1e-9)).interval
        assert surer[end] == usual[end]


def test_a_difference_in_pairs_shows_where_two_samples_would_not() -> None:
    rng = np.random.default_rng(1)
    hard = rng.random(512)
    found = change(np.clip(hard, 0, 1), np.clip(hard - 0.1, 0, 1))
    assert found.outcome is Outcome.FAIL
    shuffled = change(np.clip(hard, 0, 1), rng.permutation(np.clip(hard - 0.1, 0, 1)))
    assert shuffled.outcome is Outcome.INCONCLUSIVE


class TestWithoutBounds:
    def found(self, before: np.ndarray, now: np.ndarray) -> Change:
        return change(before, now, lo=-inf, hi=inf, limit=tolerated_loss(-inf, inf, float(before.mean())))

    def test_it_is_approximate_and_relative_to_what_there_was(self) -> None:
        rng = np.random.default_rng(2)
        before = rng.normal(10, 1, 128)
        assert self.found(before, before + rng.normal(0, 0.5, 128)).outcome is Outcome.PASS
        worse = self.found(before, before - 1 + rng.normal(0, 0.5, 128))
        assert (worse.outcome, worse.approximate) == (Outcome.FAIL, True)
        assert worse.limit == pytest.approx(0.5, rel=0.05)

    @pytest.mark.parametrize("n", [1, 2, 50])
    def test_without_spread_nothing_is_said(self, n: int) -> None:
        found = self.found(np.full(n, 3.0), np.full(n, 3.0))
        assert (found.outcome, found.interval) == (Outcome.INCONCLUSIVE, (-inf, inf))


@given(shares, st.sampled_from(["higher", "lower"]), st.booleans())
def test_outcome_and_interval_never_contradict_each_other(
    pairs: list[tuple[float, float]], direction: str, whole_list: bool
) -> None:
    before, now = zip(*pairs, strict=True)
    found = change(before, now, direction=direction, whole_list=whole_list)
    low, high = found.interval
    assert low <= found.change + 1e-9
    assert high >= found.change - 1e-9
    gain = low if direction == "higher" else -high
    best = high if direction == "higher" else -low
    assert (found.outcome is Outcome.PASS) == (gain > -0.05 or (whole_list and gain >= -0.05 - 1e-8))
    assert (found.outcome is Outcome.FAIL) == (best < -0.05 and found.outcome is not Outcome.PASS)


@pytest.mark.parametrize(("outcome", "level"), [(Outcome.PASS, 0.1), (Outcome.FAIL, 0.1)])
def test_at_the_limit_either_error_stays_below_its_level(outcome: Outcome, level: float) -> None:
    """A loss of exactly the limit, seen through noise: level .1, so that some hundred runs tell."""
    rng, n, runs = np.random.default_rng(3), 128, 150
    levels = ErrorLevels(pass_=level, fail=level)
    wrong = 0
    for _ in range(runs):
        before = (rng.random(n) < 0.9).astype(float)
        now = np.where(rng.random(n) < 0.05 / 0.9, 0.0, before)
        wrong += change(before, now, levels=levels).outcome is outcome
    assert binomtest(wrong, runs, level, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize(
    ("before", "now", "given", "error"),
    [
        ([1.0], [1.0, 0.0], {}, UsageProblem),
        ([], [], {}, UsageProblem),
        ([1.0], [1.0], {"limit": -0.1}, UsageProblem),
        ([1.0], [1.0], {"limit": float("nan")}, UsageProblem),
        ([1.0], [float("nan")], {}, NonFiniteMeasurement),
        ([float("inf")], [1.0], {}, NonFiniteMeasurement),
    ],
)
def test_what_cannot_be_compared(before: list[float], now: list[float], given: dict[str, float], error: type) -> None:
    with pytest.raises(error):
        change(before, now, **given)


def test_the_loss_that_is_tolerated() -> None:
    assert tolerated_loss(0, 1, 0.3) == 0.05
    assert tolerated_loss(-1, 1, 0.3) == 0.1
    assert tolerated_loss(-inf, 1, -8.0) == pytest.approx(0.4)
