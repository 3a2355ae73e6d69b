"""What must hold for any values whatever: the gate's invariances, and that its interval agrees with its decision."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from interp_assert.stats import ErrorLevels, Outcome, SequentialGate
from interp_assert.stats.confidence import log_wealth_against, lower_end

settings.register_profile("stats", derandomize=True, deadline=None, database=None, max_examples=120)
same_every_time = settings.get_profile("stats")

NEVER = ErrorLevels(pass_=1e-300, fail=1e-300)
"""levels that few values cannot reach, so that the wealth after all of them can be compared"""

unit = st.one_of(st.sampled_from([0.0, 1.0, 0.5]), st.floats(0.0, 1.0))
samples = st.lists(unit, min_size=1, max_size=40)
thresholds = st.floats(0.02, 0.98)
populations = st.one_of(st.none(), st.integers(40, 80))
levels = st.builds(ErrorLevels, st.floats(0.001, 0.2), st.floats(0.001, 0.2))
directions = st.sampled_from(["higher", "lower"])


def fed(values, threshold, **arguments):
    gate = SequentialGate(threshold, **arguments)
    gate.update(values)
    return gate


def snapshot(gate):
    return (
        gate.outcome,
        gate.n,
        gate.estimate,
        gate.log_wealth_pass,
        gate.log_wealth_fail,
        gate.p_pass,
        gate.p_fail,
        gate.interval,
        gate.needed(),
        gate.state(),
    )


@same_every_time
@given(samples, thresholds, st.randoms(use_true_random=False))
def test_endless_draws_may_come_in_any_order(values, threshold, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    one, other = fed(values, threshold, levels=NEVER), fed(shuffled, threshold, levels=NEVER)
    assert one.log_wealth_pass == pytest.approx(other.log_wealth_pass, abs=1e-9)
    assert one.log_wealth_fail == pytest.approx(other.log_wealth_fail, abs=1e-9)
    assert one.interval == pytest.approx(other.interval, abs=1e-12)


@same_every_time
@given(samples, thresholds, populations, st.data())
def test_raising_a_value_never_lowers_the_evidence_for_pass(values, threshold, population, data):
    place = data.draw(st.integers(0, len(values) - 1))
    raised = list(values)
    raised[place] = data.draw(st.floats(values[place], 1.0))
    before = fed(values, threshold, levels=NEVER, population=population)
    after = fed(raised, threshold, levels=NEVER, population=population)
    assume(before.outcome is after.outcome is Outcome.INCONCLUSIVE)
    assert after.log_wealth_pass >= before.log_wealth_pass - 1e-9
    assert after.log_wealth_fail <= before.log_wealth_fail + 1e-9
    assert after.interval[0] >= before.interval[0] - 1e-12
    assert after.interval[1] >= before.interval[1] - 1e-12


@same_every_time
@given(samples, thresholds, populations, levels, directions, st.lists(st.integers(0, 40), max_size=4))
def test_a_resumed_gate_equals_one_run_bit_for_bit(values, threshold, population, error, direction, cuts):
    arguments = {"levels": error, "population": population, "direction": direction}
    resumed = SequentialGate(threshold, **arguments)
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    for start, stop in pairwise(edges):
        resumed = SequentialGate.from_state(json.loads(json.dumps(resumed.state())))
        resumed.update(values[start:stop])
    assert snapshot(resumed) == snapshot(fed(values, threshold, **arguments))


@same_every_time
@given(samples, thresholds, populations, levels)
def test_one_by_one_equals_all_at_once_bit_for_bit(values, threshold, population, error):
    single = SequentialGate(threshold, levels=error, population=population)
    for value in values:
        single.update(value)
    assert snapshot(single) == snapshot(fed(values, threshold, levels=error, population=population))


@same_every_time
@given(samples, thresholds, populations, st.floats(-50.0, 50.0), st.floats(0.01, 100.0), directions)
def test_the_scale_of_the_score_does_not_matter(values, threshold, population, lo, width, direction):
    hi = lo + width
    scaled = np.clip([lo + width * value for value in values], lo, hi)
    arguments = {"levels": NEVER, "population": population, "direction": direction}
    one, other = fed(values, threshold, **arguments), fed(scaled, lo + width * threshold, lo=lo, hi=hi, **arguments)
    assume(one.n == other.n)
    assert one.outcome is other.outcome
    if one.outcome is Outcome.INCONCLUSIVE:
        assert one.log_wealth_pass == pytest.approx(other.log_wealth_pass, abs=1e-6, rel=1e-6)
        assert one.log_wealth_fail == pytest.approx(other.log_wealth_fail, abs=1e-6, rel=1e-6)
    assert [lo + width * end for end in one.interval] == pytest.approx(list(other.interval), abs=1e-9 * width + 1e-12)


@same_every_time
@given(samples, thresholds, populations, levels)
def test_a_lower_claim_is_the_mirror_of_a_higher_one(values, threshold, population, error):
    up = fed(values, threshold, levels=error, population=population)
    mirrored = [1.0 - value for value in values]
    down = fed(mirrored, 1.0 - threshold, levels=error, population=population, direction="lower")
    assert (up.outcome, up.n) == (down.outcome, down.n)
    assert up.log_wealth_pass == pytest.approx(down.log_wealth_pass, abs=1e-9)
    assert up.log_wealth_fail == pytest.approx(down.log_wealth_fail, abs=1e-9)
    assert [1.0 - end for end in reversed(down.interval)] == pytest.approx(list(up.interval), abs=1e-9)


@same_every_time
@given(samples, thresholds, levels)
def test_swapping_sides_swaps_pass_and_fail(values, threshold, error):
    swapped = ErrorLevels(pass_=error.fail, fail=error.pass_)
    up = fed(values, threshold, levels=error)
    down = fed([1.0 - value for value in values], 1.0 - threshold, levels=swapped)
    opposite = {Outcome.PASS: Outcome.FAIL, Outcome.FAIL: Outcome.PASS, Outcome.INCONCLUSIVE: Outcome.INCONCLUSIVE}
    assert (opposite[up.outcome], up.n) == (down.outcome, down.n)


@same_every_time
@given(samples, thresholds, populations, levels, directions, st.floats(-3.0, 3.0), st.floats(0.1, 7.0))
def test_the_interval_agrees_with_the_decision(values, threshold, population, error, direction, lo, width):
    hi = lo + width
    raw, limit = np.clip(lo + width * np.array(values), lo, hi), min(lo + width * threshold, hi)
    gate = fed(raw, limit, lo=lo, hi=hi, levels=error, population=population, direction=direction)
    low, high = gate.interval
    assert lo <= low <= high <= hi
    above = low >= limit if population and direction == "higher" else low > limit
    below = high <= limit if population and direction == "lower" else high < limit
    passed, failed = (above, below) if direction == "higher" else (below, above)
    if population is None or gate.outcome is not Outcome.INCONCLUSIVE:
        assert passed == (gate.outcome is Outcome.PASS)
        assert failed == (gate.outcome is Outcome.FAIL)
    else:
        assert low <= limit <= high


@same_every_time
@given(samples, thresholds, levels)
def test_the_interval_of_endless_draws_contains_the_estimate(values, threshold, error):
    gate = fed(values, threshold, levels=error)
    low, high = gate.interval
    assert low <= gate.estimate + 1e-12
    assert high >= gate.estimate - 1e-12


@same_every_time
@given(samples, populations, st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)))
def test_the_wealth_falls_as_the_mean_betted_against_rises(values, population, means):
    x = np.array(values)
    lower, higher = sorted(means)
    assert log_wealth_against(x, lower, population) >= log_wealth_against(x, higher, population) - 1e-9


@same_every_time
@given(samples, populations, st.floats(0.001, 0.3))
def test_the_lower_end_is_where_a_scan_finds_it(values, population, level):
    x = np.array(values)
    end = lower_end(x, level, population)
    first, last = (0.0, 1.0) if population is None else (x.sum() / population, 1 - (1 - x).sum() / population)
    scan = np.linspace(first, last, 200)
    open_ = [mean for mean in scan if log_wealth_against(x, mean, population) < -np.log(level)]
    step = 1.0 / 199
    assert end == pytest.approx(open_[0] if open_ else last, abs=step + 1e-9)
    if open_:
        assert end <= open_[0] + 1e-12


@same_every_time
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=24), st.integers(0, 96), directions)
def test_a_list_drawn_to_its_end_is_always_decided_and_rightly(values, quarters, direction):
    quarters = min(quarters, 4 * len(values))
    threshold, total = quarters / 4 / len(values), sum(values)
    gate = fed(values, threshold, population=len(values), levels=NEVER, direction=direction)
    holds = total >= quarters / 4 if direction == "higher" else total <= quarters / 4
    assert gate.outcome is (Outcome.PASS if holds else Outcome.FAIL)


@same_every_time
@given(samples, thresholds, populations, levels)
def test_needed_is_more_than_there_are_and_no_more_than_the_list(values, threshold, population, error):
    gate = fed(values, threshold, levels=error, population=population)
    needed = gate.needed()
    if gate.outcome is not Outcome.INCONCLUSIVE:
        assert needed is None
    elif population is not None:
        assert gate.n < needed <= population
    else:
        assert needed is None or needed > gate.n


def test_thousands_of_values_in_odd_pieces_are_bit_equal():
    rng = np.random.default_rng(5)
    values = rng.random(3000)
    for population in (None, 3000):
        whole = fed(values, 0.5, levels=ErrorLevels(1e-5, 1e-5), population=population)
        pieces = SequentialGate(0.5, levels=ErrorLevels(1e-5, 1e-5), population=population)
        start = 0
        while start < values.size:
            stop = start + int(rng.integers(1, 200))
            if pieces.outcome is Outcome.INCONCLUSIVE:
                pieces.update(values[start:stop])
            start = stop
        assert whole.n > 1000
        assert snapshot(pieces) == snapshot(whole)
