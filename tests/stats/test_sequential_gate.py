"""What the exact gate decides on known values, finite lists, edges of the range and bad input."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from betting_walks import CoinGate

from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.stats import BadMeasurement, ErrorLevels, Outcome, SequentialGate

PASS, FAIL, INCONCLUSIVE, _ = Outcome
SAME = ErrorLevels(pass_=0.01, fail=0.01)


def test_the_wealth_is_the_average_over_24_log_spaced_bets():
    shares = [0.01 * 99 ** (g / 23) for g in range(24)]
    gate = SequentialGate(0.4)
    gate.update([1.0, 0.3])
    expected = sum((1 + c / 0.4 * (1.0 - 0.4)) * (1 + c / 0.4 * (0.3 - 0.4)) for c in shares) / 24
    assert gate.log_wealth_pass == pytest.approx(math.log(expected), abs=1e-12)
    mirrored = sum((1 + c / 0.6 * (0.0 - 0.6)) * (1 + c / 0.6 * (0.7 - 0.6)) for c in shares) / 24
    assert gate.log_wealth_fail == pytest.approx(math.log(mirrored), abs=1e-12)


@pytest.mark.parametrize(("threshold", "draws"), [(0.8, 24), (0.9, 38), (0.95, 49)])
def test_a_perfect_list_of_52_decides_early(threshold, draws):
    gate = SequentialGate(threshold, population=52)
    assert gate.update(np.ones(draws - 1)) is INCONCLUSIVE
    assert gate.update(1.0) is PASS
    assert gate.n == draws
    assert gate.interval[0] > threshold


def test_the_same_list_mirrored_fails_for_the_same_reason():
    gate = SequentialGate(0.2, population=52, levels=SAME)
    assert gate.update(np.zeros(52)) is FAIL
    assert gate.n == 24


def test_perfect_endless_draws_decide_at_the_published_numbers():
    gate = SequentialGate(0.9)
    gate.update(np.ones(200))
    assert (gate.outcome, gate.n) == (PASS, 71)


def test_the_first_decision_is_final_and_later_values_do_not_count():
    gate = SequentialGate(0.5)
    assert gate.update(np.ones(500)) is PASS
    before = (gate.n, gate.log_wealth_pass, gate.log_wealth_fail, gate.interval, gate.estimate)
    assert gate.update(np.zeros(5000)) is PASS
    assert before == (gate.n, gate.log_wealth_pass, gate.log_wealth_fail, gate.interval, gate.estimate)
    assert gate.n < 20


def test_each_side_has_its_own_level():
    strict_fail = ErrorLevels(pass_=0.01, fail=1e-6)
    for pass_level, fail_level, threshold in ((0.01, 1e-6, 0.5), (1e-6, 0.01, 0.5)):
        levels = ErrorLevels(pass_=pass_level, fail=fail_level)
        up, down = SequentialGate(threshold, levels=levels), SequentialGate(threshold, levels=levels)
        up.update(np.ones(100))
        down.update(np.zeros(100))
        assert (up.outcome, down.outcome) == (PASS, FAIL)
        assert (up.n < down.n) == (pass_level > fail_level)
        assert up.log_wealth_pass >= -math.log(pass_level)
        assert down.log_wealth_fail >= -math.log(fail_level)
    gate = SequentialGate(0.5, levels=strict_fail)
    gate.update([0.6, 0.4] * 8)
    low, high = gate.interval
    assert high - 0.5 > 0.5 - low


def test_p_values_are_anytime_valid_and_the_best_so_far():
    gate = SequentialGate(0.5)
    assert (gate.p_pass, gate.p_fail) == (1.0, 1.0)
    gate.update([1, 1, 1])
    best = gate.p_pass
    assert best == pytest.approx(math.exp(-gate.log_wealth_pass))
    gate.update([0, 0])
    assert gate.p_pass == best < 1.0
    gate.update(np.ones(100))
    assert gate.p_pass <= 0.01
    assert gate.p_fail == 1.0


# -- finite lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["higher", "lower"])
@pytest.mark.parametrize(
    ("size", "threshold"), [(10, 0.7), (20, 0.55), (52, 0.8), (7, 0.3), (50, 0.8), (3, 0.1), (1, 1.0)]
)
def test_a_list_drawn_to_its_end_is_decided_exactly(size, threshold, direction):
    rng = np.random.default_rng(0)
    unreachable = ErrorLevels(pass_=1e-300, fail=1e-300)
    for hits in range(size + 1):
        gate = SequentialGate(threshold, population=size, levels=unreachable, direction=direction)
        gate.update(rng.permutation(np.arange(size) < hits).astype(float))
        excess = round(hits - size * threshold, 9)
        true = excess >= 0 if direction == "higher" else excess <= 0
        assert gate.outcome is (PASS if true else FAIL)


def test_a_list_with_its_mean_at_the_threshold_passes_only_when_that_is_certain():
    gate = SequentialGate(0.5, population=10, levels=ErrorLevels(pass_=1e-9, fail=1e-9))
    assert gate.update([1, 1, 1, 1, 0]) is INCONCLUSIVE
    assert gate.update([1]) is PASS
    assert gate.interval[0] == 0.5
    assert gate.log_wealth_pass == math.inf
    assert (gate.p_pass, gate.p_fail) == (0.0, 1.0)


def test_a_list_fails_as_soon_as_the_rest_cannot_save_it():
    gate = SequentialGate(0.8, population=10, levels=ErrorLevels(pass_=1e-9, fail=1e-9))
    assert gate.update([0, 0]) is INCONCLUSIVE  # all others may be hits: the mean could still be .8
    assert gate.update([0]) is FAIL
    assert gate.n == 3
    assert gate.interval[1] < 0.8
    assert (gate.p_pass, gate.p_fail) == (1.0, 0.0)


def test_fully_known_lists_have_an_interval_of_one_point():
    gate = SequentialGate(0.5, population=4, levels=ErrorLevels(pass_=1e-9, fail=1e-9))
    gate.update([0.1, 0.9, 0.2])
    low, high = gate.interval
    assert (low, high) == pytest.approx((0.3, 0.55))
    gate.update([0.9])
    assert gate.outcome is PASS
    assert gate.interval == pytest.approx((0.525, 0.525))


def test_a_list_needs_fewer_draws_than_an_endless_stream():
    endless, finite = SequentialGate(0.9), SequentialGate(0.9, population=100)
    endless.update(np.ones(100))
    finite.update(np.ones(100))
    assert finite.n < endless.n


# -- edges of the range ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "values", "outcome", "n"),
    [
        (0.0, [0.0] * 50, INCONCLUSIVE, 50),
        (0.0, [0.0, 1e-12, 0.0], PASS, 2),
        (1.0, [1.0] * 50, INCONCLUSIVE, 50),
        (1.0, [1.0, 0.999], FAIL, 2),
        (1e-300, [0.0] * 50, INCONCLUSIVE, 50),
        (1e-300, [0.5], PASS, 1),
        (5e-324, [1.0], PASS, 1),
        (1.0 - 1e-16, [1.0] * 50, INCONCLUSIVE, 50),
    ],
)
def test_thresholds_at_the_edge(threshold, values, outcome, n):
    gate = SequentialGate(threshold)
    with np.errstate(all="raise", under="ignore"):
        gate.update(values)
        low, high = gate.interval
    assert (gate.outcome, gate.n) == (outcome, n)
    assert not math.isnan(gate.log_wealth_pass)
    assert not math.isnan(gate.log_wealth_fail)
    assert 0.0 <= low <= high <= 1.0


def test_zeros_against_a_threshold_of_zero_are_no_evidence():
    gate = SequentialGate(0.0)
    gate.update([0.0] * 50)
    assert gate.log_wealth_pass == 0.0
    mirrored = SequentialGate(1.0)
    mirrored.update([1.0] * 50)
    assert mirrored.log_wealth_fail == 0.0


def test_before_any_value_nothing_is_known():
    gate = SequentialGate(0.3, lo=-1.0, hi=2.0)
    assert (gate.outcome, gate.n, gate.estimate, gate.interval) == (INCONCLUSIVE, 0, None, (-1.0, 2.0))
    assert gate.needed() is None
    assert gate.update([]) is INCONCLUSIVE


def test_lower_claims_pass_below_the_limit():
    gate = SequentialGate(2.0, lo=0.0, hi=10.0, direction="lower")
    assert gate.update(np.full(500, 1.0)) is PASS
    assert gate.interval[1] < 2.0
    gate = SequentialGate(2.0, lo=0.0, hi=10.0, direction="lower")
    assert gate.update(np.full(500, 6.0)) is FAIL
    assert gate.interval[0] > 2.0


# -- how many are needed -----------------------------------------------------------------------------------------------


def test_needed_is_exact_when_the_values_do_not_vary():
    gate = SequentialGate(0.9)
    gate.update(np.ones(30))
    assert gate.needed() == 71
    listed = SequentialGate(0.9, population=52)
    listed.update(np.ones(10))
    assert listed.needed() == 38
    failing = SequentialGate(0.2, population=52, levels=SAME)
    failing.update(np.zeros(5))
    assert failing.needed() == 24


@pytest.mark.parametrize("mean", [0.7, 0.6, 0.55])
def test_as_many_as_needed_probably_decide_and_a_quarter_of_them_do_not(mean):
    values = np.random.default_rng(2).permutation(np.arange(20) < round(20 * mean)).astype(float)
    gate, wrong = SequentialGate(0.5, levels=SAME), SequentialGate(0.5, levels=SAME)
    gate.update(values)
    wrong.update(1.0 - values)
    passed, _ = CoinGate.against(0.5, 0.01, 0.01, 2000).run(mean)
    for needed in (gate.needed(), wrong.needed()):
        assert 0.5 < passed[needed] < 0.75
        assert passed[needed // 4] < 0.15


def test_needed_follows_the_level_of_the_likely_side():
    values = [1.0] * 7 + [0.0] * 3
    levels = ErrorLevels(pass_=0.01, fail=1e-6)
    above, below = SequentialGate(0.5, levels=levels), SequentialGate(0.5, levels=levels)
    above.update(values)
    below.update([1.0 - value for value in values])
    assert below.needed() > 1.5 * above.needed()


@pytest.mark.parametrize("values", [[0.5] * 20, [0.0, 1.0] * 10, [0.5]])
def test_needed_has_no_answer_at_the_threshold(values):
    gate = SequentialGate(0.5)
    gate.update(values)
    assert gate.needed() is None


def test_needed_is_none_after_the_decision_and_at_most_the_list():
    gate = SequentialGate(0.5)
    gate.update(np.ones(50))
    assert gate.needed() is None
    listed = SequentialGate(0.5, population=30)
    listed.update([0.0, 1.0] * 5)
    assert listed.needed() == 30


# -- going on ----------------------------------------------------------------------------------------------------------


def test_state_is_json_and_resumes_where_it_stopped():
    gate = SequentialGate(-0.1, lo=-1.0, hi=1.0, population=90, direction="lower", levels=ErrorLevels(0.02, 0.03, 0.04))
    gate.update(np.linspace(-1, 1, 9))
    again = SequentialGate.from_state(json.loads(json.dumps(gate.state())))
    assert again.state() == gate.state()
    assert (again.threshold, again.lo, again.hi, again.population, again.direction) == (-0.1, -1.0, 1.0, 90, "lower")
    assert again.levels == ErrorLevels(0.02, 0.03, 0.04)
    assert again.log_wealth_pass == gate.log_wealth_pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("values"), "'values'"),
        (lambda state: state.update(version=99), "version 99; this release reads version 1"),
        (lambda state: state.update(levels={"alpha": 1}), "not a saved gate"),
    ],
)
def test_a_broken_state_is_refused(change, message):
    state = SequentialGate(0.5).state()
    change(state)
    with pytest.raises(UsageProblem, match=message):
        SequentialGate.from_state(state)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_even_after_the_decision(bad):
    gate = SequentialGate(0.5)
    with pytest.raises(NonFiniteMeasurement, match=r"value 2 of this update is -?(nan|inf)"):
        gate.update([1.0, 0.0, bad])
    assert gate.n == 0
    gate.update(np.ones(50))
    with pytest.raises(NonFiniteMeasurement):
        gate.update([bad])


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_values_out_of_range_are_refused(value):
    with pytest.raises(BadMeasurement, match=rf"value 1 of this update is {value}, outside the declared range"):
        SequentialGate(0.5).update([0.5, value])


def test_a_list_cannot_give_more_than_it_has():
    gate = SequentialGate(0.5, population=4, levels=ErrorLevels(1e-9, 1e-9))
    gate.update([0.4, 0.6])
    with pytest.raises(BadMeasurement, match=r"2 \+ 3 values from a list of 4"):
        gate.update([0.5, 0.5, 0.5])
    assert gate.n == 2


def test_tables_of_values_are_refused():
    with pytest.raises(BadMeasurement, match=r"shape \(2, 2\); pool within clusters"):
        SequentialGate(0.5).update(np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.2}, r"threshold 1.2 lies outside the score's range \[0.0, 1.0\]"),
        ({"threshold": -0.1}, "lies outside"),
        ({"threshold": math.nan}, "lies outside"),
        ({"threshold": 0.5, "lo": 1.0, "hi": 0.0}, "lo < hi"),
        ({"threshold": 0.5, "hi": math.inf}, "finite range"),
        ({"threshold": 0.5, "direction": "none"}, "unknown direction 'none'"),
        ({"threshold": 0.5, "population": 0}, "population=0 must be a whole number"),
        ({"threshold": 0.5, "population": 2.5}, "population=2.5"),
    ],
)
def test_impossible_gates_are_refused(arguments, message):
    with pytest.raises(UsageProblem, match=message):
        SequentialGate(**arguments)
