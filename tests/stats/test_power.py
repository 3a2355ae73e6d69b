"""The probability of PASS is exact for hits and misses, and other scores with the same mean pass no less often."""

from __future__ import annotations

import numpy as np
import pytest

from interp_assert.errors import UsageProblem
from interp_assert.stats import ErrorLevels, Outcome, SequentialGate
from interp_assert.stats.power import highest_floor, probability_of_pass

LEVELS = ErrorLevels()


def passes(draw: object, threshold: float, at_most: int, runs: int = 400) -> float:
    rng = np.random.default_rng(1)
    gates = [SequentialGate(threshold, levels=LEVELS) for _ in range(runs)]
    return float(np.mean([gate.update(draw(rng, at_most)) is Outcome.PASS for gate in gates]))  # type: ignore[operator]


@pytest.mark.parametrize(("mean", "threshold", "at_most"), [(0.95, 0.85, 128), (0.6, 0.45, 64), (0.3, 0.1, 64)])
def test_it_is_what_gates_do(mean: float, threshold: float, at_most: int) -> None:
    exact = probability_of_pass(mean, threshold, at_most, LEVELS)
    seen = passes(lambda rng, n: (rng.random(n) < mean).astype(float), threshold, at_most)
    assert seen == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 400))


def test_scores_between_pass_no_less_often() -> None:
    exact = probability_of_pass(0.8, 0.7, 64, LEVELS)
    spread = passes(lambda rng, n: rng.beta(4, 1, n), 0.7, 64)
    assert spread > exact - 4 * np.sqrt(0.25 / 400)


def test_at_the_boundary_it_is_below_the_error_level() -> None:
    assert probability_of_pass(0.9, 0.9, 512, LEVELS) <= LEVELS.pass_
    assert probability_of_pass(0.3, 0.9, 512, LEVELS) < 1e-20


def test_a_certain_hit_passes_when_the_wealth_is_there() -> None:
    gate = SequentialGate(0.5, levels=LEVELS)
    gate.update(np.ones(64))
    assert probability_of_pass(1.0, 0.5, gate.n, LEVELS) == 1.0
    assert probability_of_pass(1.0, 0.5, gate.n - 1, LEVELS) == 0.0


def test_the_highest_floor_is_cleared_and_the_next_is_not() -> None:
    floor = highest_floor(0.95, 512, LEVELS, 0.9)
    assert floor is not None
    assert probability_of_pass(0.95, floor, 512, LEVELS) >= 0.9 > probability_of_pass(0.95, floor + 0.01, 512, LEVELS)
    assert highest_floor(0.0, 512, LEVELS, 0.9) is None
    assert highest_floor(1.0, 512, LEVELS, 0.9) == 0.98


@pytest.mark.parametrize(("mean", "threshold"), [(1.1, 0.5), (0.5, -0.1), (float("nan"), 0.5)])
def test_shares_lie_between_0_and_1(mean: float, threshold: float) -> None:
    with pytest.raises(UsageProblem, match="must lie between 0 and 1"):
        probability_of_pass(mean, threshold, 8, LEVELS)
