"""Directions that mean nothing: as long as the real one, and as far as chance goes."""

from __future__ import annotations

import numpy as np
import pytest

from interp_assert.controls import beats_directions, norm_matched
from interp_assert.errors import UsageProblem
from interp_assert.stats import Outcome


def test_random_directions_have_the_norm_of_the_real_one_and_no_preference() -> None:
    real = np.array([3.0, 0.0, 4.0, 0.0])
    drawn = norm_matched(real, 2000, seed=1)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(np.full(2000, 5.0))
    assert drawn.mean(0) == pytest.approx(np.zeros(4), abs=0.3)
    assert (drawn**2).mean(0) == pytest.approx(np.full(4, 25 / 4), rel=0.1)
    assert np.array_equal(norm_matched(real, 5, seed=1), norm_matched(real, 5, seed=1))
    assert not np.array_equal(norm_matched(real, 5, seed=1), norm_matched(real, 5, seed=2))


@pytest.mark.parametrize("bad", [np.zeros(3), np.array([1.0, np.nan])])
def test_a_direction_without_a_length_has_none(bad: np.ndarray) -> None:
    with pytest.raises(UsageProblem, match="has no random directions of the same norm"):
        norm_matched(bad)


def test_a_slope_among_those_of_random_directions_does_not_pass() -> None:
    rng = np.random.default_rng(0)
    others = [np.full(30, mean) + rng.normal(0, 0.1, 30) for mean in rng.normal(0, 1, 20)]

    def outcome(slope: float) -> Outcome:
        return beats_directions("random_directions", np.full(30, slope), others, level=0.01, note="").outcome

    assert outcome(5.0) is Outcome.PASS
    assert outcome(1.0) is Outcome.INCONCLUSIVE
    assert outcome(-5.0) is Outcome.FAIL
    result = beats_directions("random_directions", np.full(30, 5.0), others, level=0.01, note="")
    assert result.approximate
    assert result.details["rank_p"] == 1 / 21
    assert len(result.details["slopes"]) == 20


def test_noise_that_is_larger_than_the_spread_of_directions_is_what_counts() -> None:
    rng = np.random.default_rng(0)
    others = [rng.normal(0, 5.0, 25) for _ in range(20)]
    noisy = beats_directions(
        "x", rng.normal(2.0, 5.0, 25), [np.full(25, 0.01 * k) for k in range(20)], level=0.01, note=""
    )
    assert noisy.outcome is Outcome.INCONCLUSIVE
    assert beats_directions("x", np.full(25, 9.0), others, level=0.01, note="").outcome is Outcome.PASS
