"""The gate errs no more often than it promises, looking after every draw, and needs the sample sizes that it should.

For coin flips both are computed exactly (``betting_walks``); for other values and for finite lists they are simulated,
seeded.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from betting_walks import CoinGate, decisions
from scipy.stats import binomtest

from interp_assert.stats import ErrorLevels, Outcome, SequentialGate

CODE = {Outcome.PASS: 1, Outcome.FAIL: -1, Outcome.INCONCLUSIVE: 0}


def gated(values, threshold, levels, **arguments):
    gate = SequentialGate(threshold, levels=levels, **arguments)
    gate.update(values)
    return CODE[gate.outcome], gate.n


def at_most(errors: int, runs: int, level: float) -> bool:
    return binomtest(errors, runs, level, alternative="greater").pvalue > 0.01


# -- the two implementations agree -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "mean"), [(0.5, 0.6), (0.9, 0.9), (0.8, 0.7), (0.05, 0.02)])
def test_the_exact_walk_is_the_gate(tau, mean):
    levels = ErrorLevels(pass_=0.02, fail=0.005)
    walk = CoinGate.against(tau, levels.pass_, levels.fail, 400)
    for row in np.random.default_rng(1).random((40, 400)) < mean:
        hits, n = row.cumsum(), np.arange(1, 401)
        passing, failing = hits >= walk.passes[1:], hits <= walk.fails[1:]
        stop = np.flatnonzero(passing | failing)
        expected = (0, 400) if stop.size == 0 else (1 if passing[stop[0]] else -1, n[stop[0]])
        assert gated(row.astype(float), tau, levels) == expected


@pytest.mark.parametrize("population", [None, 120])
def test_the_simulated_gate_is_the_gate(population):
    levels = ErrorLevels(pass_=0.05, fail=0.01)
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.beta(3, 1, (40, 120)), rng.random((40, 120)) < 0.7, rng.beta(9, 1, (20, 120))])
    values[:10] *= 0.8
    outcomes, draws = decisions(values, 0.75, levels.pass_, levels.fail, population)
    assert len(set(outcomes)) == (3 if population is None else 2)
    for row, outcome, n in zip(values, outcomes, draws, strict=True):
        assert gated(row, 0.75, levels, population=population) == (outcome, n)


# -- error rates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.05, 0.25, 0.5, 0.8, 0.9, 0.95, 0.99])
def test_at_the_boundary_coin_flips_err_within_the_levels_exactly(tau):
    passed, failed = CoinGate.against(tau, 0.01, 0.001, 2000).run(tau)
    assert 0.0 < passed[-1] <= 0.01
    assert 0.0 < failed[-1] <= 0.001


def test_a_gate_that_looked_only_for_large_wealth_at_the_level_itself_would_err():
    """The computation can fail: at a threshold of 1 / (10 alpha) the same walk errs more often than alpha."""
    passed, _ = CoinGate.against(0.5, 0.1, 0.001, 2000).run(0.5)
    assert passed[-1] > 0.01


@pytest.mark.parametrize("name", ["beta", "skewed", "narrow", "three points"])
@pytest.mark.parametrize("tau", [0.5, 0.9])
def test_at_the_boundary_other_values_err_within_the_levels(name, tau):
    rng = np.random.default_rng(3)
    shape = (1500, 300)
    values = {
        "beta": lambda: rng.beta(10 * tau, 10 * (1 - tau), shape),
        "skewed": lambda: rng.beta(0.5 * tau, 0.5 * (1 - tau), shape),
        "narrow": lambda: tau + (rng.random(shape) - 0.5) * min(tau, 1 - tau),
        "three points": lambda: rng.choice([0.0, tau, 1.0], p=[(1 - tau) / 2, 0.5, tau / 2], size=shape),
    }[name]()
    outcomes, _ = decisions(values, tau, 0.01, 0.01)
    assert at_most((outcomes == 1).sum(), shape[0], 0.01)
    assert at_most((outcomes == -1).sum(), shape[0], 0.01)


@pytest.mark.parametrize("direction", ["higher", "lower"])
@pytest.mark.parametrize("kind", ["coin", "beta"])
def test_interior_nulls_never_pass(kind, direction):
    """0 of 299 bounds the rate below .01 with 95% confidence; the class itself, looking after each of 512 draws."""
    rng = np.random.default_rng(4)
    for _ in range(299):
        values = rng.random(512) < 0.84 if kind == "coin" else rng.beta(8.4, 1.6, 512)
        if direction == "lower":
            outcome, _ = gated(1.0 - values, 0.1, ErrorLevels(), direction="lower")
        else:
            outcome, _ = gated(values.astype(float), 0.9, ErrorLevels())
        assert outcome != 1


@pytest.mark.parametrize(("hits", "wrong"), [(79, 1), (80, -1)])
def test_lists_beside_the_boundary_err_within_the_levels(hits, wrong):
    rng = np.random.default_rng(5)
    values = rng.permuted(np.tile((np.arange(100) < hits).astype(float), (3000, 1)), axis=1)
    outcomes, draws = decisions(values, 0.8, 0.01, 0.01, population=100)
    assert set(outcomes) <= {1, -1}
    assert at_most((outcomes == wrong).sum(), 3000, 0.01)
    assert np.median(draws) > 90


def test_lists_of_fractions_beside_the_boundary_err_within_the_levels():
    rng = np.random.default_rng(6)
    elements = rng.beta(2, 2, 60)
    values = rng.permuted(np.tile(elements, (2000, 1)), axis=1)
    just_true, _ = decisions(values, elements.mean() - 1e-6, 0.01, 0.01, population=60)
    just_false, _ = decisions(values, elements.mean() + 1e-6, 0.01, 0.01, population=60)
    assert at_most((just_true == -1).sum(), 2000, 0.01)
    assert at_most((just_false == 1).sum(), 2000, 0.01)


def test_the_confidence_sequence_covers_wherever_the_gate_stopped():
    rng = np.random.default_rng(7)
    levels = ErrorLevels(pass_=0.05, fail=0.05)
    missed_low = missed_high = 0
    for _ in range(300):
        gate = SequentialGate(0.6, levels=levels)
        gate.update((rng.random(200) < 0.7).astype(float))
        low, high = gate.interval
        missed_low += low > 0.7
        missed_high += high < 0.7
    assert at_most(missed_low, 300, 0.05)
    assert at_most(missed_high, 300, 0.05)


# -- sample sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tau", "mean", "side", "median"),
    [
        (0.5, 0.9, "pass", 16),
        (0.5, 0.7, "pass", 70),
        (0.5, 0.6, "pass", 278),
        (0.9, 1.0, "pass", 71),
        (0.9, 0.98, "pass", 124),
        (0.9, 0.95, "pass", 344),
        (0.9, 0.8, "fail", 117),
        (0.9, 0.85, "fail", 430),
        (0.05, 0.9, "pass", 3),
    ],
)
def test_median_sample_sizes_of_coin_flips(tau, mean, side, median):
    """The published medians were simulated, these are exact: they agree within the simulation's error."""
    passed, failed = CoinGate.against(tau, 0.01, 0.01, 2000).run(mean)
    decided = passed if side == "pass" else failed
    assert decided[-1] > 0.99
    assert np.argmax(decided >= 0.5) == pytest.approx(median, rel=0.04)


def test_close_calls_stay_open_for_long():
    passed, _ = CoinGate.against(0.9, 0.01, 0.01, 2000).run(0.92)
    assert passed[1280] < 0.5
    assert passed[2000] == pytest.approx(0.45, abs=0.05)
    passed, _ = CoinGate.against(0.5, 0.01, 0.01, 2000).run(0.55)
    among_decided = np.argmax(passed >= passed[-1] / 2)
    assert among_decided == pytest.approx(966, rel=0.04)


def test_adaptive_bets_would_lose_where_the_mixture_decides():
    passed, _ = CoinGate.against(0.9, 0.01, 0.01, 2000).run(0.95)
    assert passed[-1] > 0.999


@pytest.mark.parametrize(("tau", "mean", "median"), [(0.5, 0.9, 13), (0.9, 0.95, 142)])
def test_median_sample_sizes_of_beta_values(tau, mean, median):
    values = np.random.default_rng(8).beta(10 * mean, 10 * (1 - mean), (600, 4 * median))
    outcomes, draws = decisions(values, tau, 0.01, 0.01)
    assert (outcomes == 1).mean() > 0.98
    assert np.median(draws) == pytest.approx(median, rel=0.05)


def test_a_hundred_times_smaller_error_costs_about_twice_the_clusters():
    def median(level):
        return np.argmax(CoinGate.against(0.5, level, level, 2000).run(0.7)[0] >= 0.5)

    assert 1.4 < median(1e-4) / median(1e-2) < 2.2


def test_thousands_of_values_take_milliseconds():
    values = np.random.default_rng(9).random(4096)
    start = time.process_time()
    gate = SequentialGate(0.5, levels=ErrorLevels(1e-9, 1e-9))
    gate.update(values)
    assert gate.n == 4096
    assert time.process_time() - start < 0.5
    start = time.process_time()
    low, high = gate.interval
    assert low < 0.5 < high
    assert time.process_time() - start < 2.0
