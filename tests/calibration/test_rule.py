"""The rule that places positives and nulls predicts what the gates do."""

from __future__ import annotations

import numpy as np
import pytest
from stats.betting_walks import CoinGate

from interp_assert.stats import Outcome, RatioGate, SequentialGate, compare_with_twins

from .rule import MISS, closest_ratio_limit, closest_threshold, predicted, twin_distance


@pytest.mark.parametrize("lower", [False, True])
def test_an_exact_gate_is_right_on_both_sides(lower: bool) -> None:
    pool = np.random.default_rng(1).beta(6, 4, 4000)
    for null in (False, True):
        threshold = closest_threshold(pool, 256, null=null, lower=lower)
        assert (threshold < pool.mean()) == (null == lower)
        outcomes = []
        for k in range(40):
            gate = SequentialGate(threshold, direction="lower" if lower else "higher")
            outcomes.append(gate.update(np.random.default_rng([2, k]).choice(pool, 256)))
        assert set(outcomes) == ({Outcome.FAIL} if null else {Outcome.PASS})


def test_the_theory_is_the_exact_power_of_coin_flips_to_the_order() -> None:
    """Against the walk that needs no simulation: the predicted miss of 1e-5 is one of 1e-9 to 1e-4."""
    for tau, n in ((0.5, 512), (0.5, 128), (0.9, 512)):
        mean = next(k / 1000 for k in range(int(1000 * tau) + 1, 1001) if predicted(np.arange(1000) < k, tau, n))
        missed = 1.0 - CoinGate.against(tau, 0.01, 0.001, n).run(mean)[0][-1]
        assert 1e-12 < missed < 1e-4


def test_t_tests_and_twins_miss_nothing_there() -> None:
    pool = np.random.default_rng(3).gamma(4, 0.25, 4000)
    for null, right in ((False, Outcome.PASS), (True, Outcome.FAIL)):
        limit = closest_ratio_limit(pool, 1.0, 512, null=null)
        for k in range(20):
            assert RatioGate(limit).update(np.random.default_rng([4, k]).choice(pool, 512)) is right
    rng = np.random.default_rng(5)
    ahead = [
        compare_with_twins(rng.normal() + twin_distance(5), rng.normal(size=5), sampling_error=1e-9) for _ in range(400)
    ]
    assert {each.outcome for each in ahead} == {Outcome.PASS}
    nearer = [compare_with_twins(rng.normal() + 4.0, rng.normal(size=5), sampling_error=1e-9) for _ in range(400)]
    assert sum(each.outcome is Outcome.PASS for each in nearer) < 300
    assert MISS < 1e-4
