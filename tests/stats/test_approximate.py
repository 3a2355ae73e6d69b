"""The approximate tier: t-tests at four looks, and a model against a handful of twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm, t, ttest_1samp

from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.stats import ApproximateGate, ErrorLevels, Outcome, compare_with_twins, logit_count

PASS, FAIL, INCONCLUSIVE, _ = Outcome


def at_most(errors: int, runs: int, level: float) -> bool:
    return binomtest(errors, runs, level, alternative="greater").pvalue > 0.01


# -- twins -------------------------------------------------------------------------------------------------------------


def test_the_bound_is_the_prediction_bound_of_one_more_twin():
    twins = [0.1, -0.2, 0.05, 0.3, 0.0]
    compared = compare_with_twins(2.0, twins, sampling_error=0.01, margin=0.5)
    spread = np.std(twins, ddof=1)
    reach = t.ppf(0.99, 4) * spread * math.sqrt(1 + 1 / 5)
    assert compared.twin_spread == pytest.approx(spread)
    assert compared.bound == pytest.approx(np.mean(twins) + reach + 0.5)
    assert compared.fail_bound == pytest.approx(np.mean(twins) - reach + 0.5)
    assert (compared.outcome, compared.best_twin, compared.n_twins, compared.advisory) == (PASS, 0.3, 5, False)
    assert compare_with_twins(compared.bound + 1e-9, twins, sampling_error=0.01, margin=0.5).outcome is PASS
    assert compare_with_twins(compared.bound - 1e-9, twins, sampling_error=0.01, margin=0.5).outcome is INCONCLUSIVE
    assert (
        compare_with_twins(compared.fail_bound + 1e-9, twins, sampling_error=0.01, margin=0.5).outcome is INCONCLUSIVE
    )
    assert compare_with_twins(-1.0, twins, sampling_error=0.01, margin=0.5).outcome is FAIL


def test_the_spread_is_never_below_the_sampling_error():
    compared = compare_with_twins(0.5, [0.0] * 5, sampling_error=0.2)
    assert compared.twin_spread == 0.2
    assert compared.outcome is INCONCLUSIVE
    assert compare_with_twins(0.5, [0.0] * 5, sampling_error=0.02).outcome is PASS


def test_the_score_must_exceed_every_twin():
    twins = [*np.linspace(-0.1, 0.1, 20), 1.0]
    compared = compare_with_twins(0.9, twins, sampling_error=0.01)
    assert compared.bound < 0.9 < compared.best_twin
    assert compared.outcome is INCONCLUSIVE
    assert compare_with_twins(1.01, twins, sampling_error=0.01).outcome is PASS


def test_a_failing_score_must_be_below_every_twin():
    twins = [*np.linspace(-0.1, 0.1, 20), -1.0]
    compared = compare_with_twins(-0.9, twins, sampling_error=0.01)
    assert -1.0 < -0.9 < compared.fail_bound
    assert compared.outcome is INCONCLUSIVE
    assert compare_with_twins(-1.01, twins, sampling_error=0.01).outcome is FAIL


def test_failing_may_have_a_stricter_level_than_passing():
    twins, worse, better = [0.0, 0.1, -0.1, 0.05, -0.05], -0.6, 0.6
    assert compare_with_twins(worse, twins, sampling_error=0.01).outcome is Outcome.FAIL
    strict = compare_with_twins(worse, twins, sampling_error=0.01, fail_level=1e-5)
    assert strict.outcome is Outcome.INCONCLUSIVE
    assert compare_with_twins(better, twins, sampling_error=0.01, fail_level=1e-5).outcome is Outcome.PASS
    with pytest.raises(UsageProblem, match=r"level=0\.6"):
        compare_with_twins(0.0, twins, sampling_error=0.01, fail_level=0.6)


def test_one_twin_is_advisory_and_never_decides():
    for score in (-50.0, 0.0, 50.0):
        compared = compare_with_twins(score, [0.0], sampling_error=0.1, margin=1.0)
        assert (compared.outcome, compared.advisory, compared.n_twins) == (INCONCLUSIVE, True, 1)
        assert compared.bound == pytest.approx(1.0 + norm.ppf(0.99) * 0.1 * math.sqrt(2))


def outcomes(scores, twins, **arguments):
    decided = [
        compare_with_twins(score, row, sampling_error=1e-9, **arguments).outcome
        for score, row in zip(scores, twins, strict=True)
    ]
    return [decided.count(outcome) for outcome in (PASS, FAIL, INCONCLUSIVE)]


@pytest.mark.parametrize("level", [0.01, 0.1])
def test_one_more_twin_rarely_passes_and_a_truly_better_model_rarely_fails(level):
    rng = np.random.default_rng(0)
    twins, another = rng.normal(-3.0, 0.4, (3000, 5)), rng.normal(-3.0, 0.4, 3000)
    passed, failed, _ = outcomes(another, twins, level=level)
    assert at_most(passed, 3000, level)
    assert passed > 3000 * level / 2  # the rate is exact, not just a bound
    passed, failed, _ = outcomes(another + 1.5, twins, margin=1.5, level=level)
    assert at_most(passed, 3000, level)
    assert at_most(failed, 3000, level)
    assert failed > 3000 * level / 2


def test_a_model_that_does_as_well_as_its_twins_fails_if_the_margin_is_large_against_their_spread():
    rng = np.random.default_rng(1)
    twins, another = rng.normal(0.0, 0.1, (300, 5)), rng.normal(0.0, 0.1, 300)
    passed, failed, open_ = outcomes(another, twins, margin=1.0)
    assert passed == 0
    assert failed > 290
    passed, failed, open_ = outcomes(another, twins, margin=0.0)
    assert open_ > 285


def test_skewed_scores_must_be_transformed_first():
    rng = np.random.default_rng(2)
    twins, another = rng.normal(0.0, 1.0, (1500, 5)), rng.normal(0.0, 1.0, 1500)
    raw, _, _ = outcomes(np.exp(another), np.exp(twins))
    logged, _, _ = outcomes(another, twins)
    assert raw / 1500 == pytest.approx(0.066, abs=0.02)
    assert at_most(logged, 1500, 0.01)


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.5])
def test_pure_sampling_noise_rarely_passes_or_fails(rate):
    """Model and twins with one and the same hit rate: only the sampling error separates their counts."""
    rng = np.random.default_rng(3)
    counts = rng.binomial(400, rate, (1000, 6))
    decided = []
    for score, *twins in counts:
        logit, error = logit_count(score, 400)
        others = [logit_count(twin, 400)[0] for twin in twins]
        decided.append(compare_with_twins(logit, others, sampling_error=error).outcome)
    assert at_most(decided.count(PASS), 1000, 0.01)
    assert at_most(decided.count(FAIL), 1000, 0.01)


def test_an_obvious_copier_passes_and_a_guesser_fails_on_realistic_counts():
    n = 128 * 19
    twins = [logit_count(k, n)[0] for k in (0, 1, 3, 0, 2)]
    copier, guesser = logit_count(2300, n), logit_count(1, n)
    assert compare_with_twins(copier[0], twins, sampling_error=copier[1], margin=math.log(2)).outcome is PASS
    twins = [logit_count(k, n)[0] for k in (120, 125, 118, 122, 130)]
    guesser = logit_count(121, n)
    assert compare_with_twins(guesser[0], twins, sampling_error=guesser[1], margin=math.log(2)).outcome is FAIL


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"twin_scores": []}, UsageProblem, "no twin scores"),
        ({"score": math.nan}, NonFiniteMeasurement, "score nan"),
        ({"twin_scores": [0.0, math.inf]}, NonFiniteMeasurement, "inf"),
        ({"sampling_error": 0.0}, UsageProblem, "sampling_error=0.0 must be positive"),
        ({"sampling_error": math.nan}, UsageProblem, "must be positive"),
        ({"margin": -0.1}, UsageProblem, "margin=-0.1"),
        ({"level": 0.0}, UsageProblem, "level=0.0"),
        ({"level": 0.5}, UsageProblem, "level=0.5"),
    ],
)
def test_bad_comparisons_are_refused(arguments, error, message):
    fields = {"score": 1.0, "twin_scores": [0.0, 0.1], "sampling_error": 0.1}
    with pytest.raises(error, match=message):
        compare_with_twins(**{**fields, **arguments})


# -- counts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1, 7, 10])
def test_logit_count_is_the_logit_of_the_shrunken_share(k):
    share = (k + 0.5) / 11
    logit, _ = logit_count(k, 10)
    assert logit == pytest.approx(math.log(share / (1 - share)))


def test_logit_count_knows_its_sampling_error():
    rng = np.random.default_rng(4)
    logits, errors = zip(*(logit_count(k, 500) for k in rng.binomial(500, 0.2, 4000)), strict=True)
    assert np.std(logits) == pytest.approx(np.mean(errors), rel=0.05)
    assert logit_count(3, 10)[0] == pytest.approx(-logit_count(7, 10)[0])


@pytest.mark.parametrize(("k", "n"), [(-1, 10), (11, 10), (0, 0), (math.nan, 10)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(UsageProblem, match="0 <= k <= n"):
        logit_count(k, n)


# -- looks -------------------------------------------------------------------------------------------------------------


def test_it_looks_at_64_128_256_and_512_only():
    rng = np.random.default_rng(5)
    z = rng.normal(5.0, 1.0, 600)
    gate = ApproximateGate()
    assert gate.update(z[:63]) is INCONCLUSIVE
    assert gate.update(z[63:100]) is PASS
    assert gate.n == 64
    gate = ApproximateGate()
    gate.update(rng.normal(0.0, 1.0, 70))
    assert gate.update(z[:50]) is INCONCLUSIVE
    assert gate.n == 120
    assert gate.update(z[50:58]) is PASS
    assert gate.n == 128


def test_the_first_decision_and_the_last_look_are_final():
    z = np.random.default_rng(6).normal(0.0, 1.0, 512)
    open_ = ApproximateGate()
    assert open_.update(z) is INCONCLUSIVE
    assert open_.update(np.full(5000, 9.0)) is INCONCLUSIVE
    assert open_.n == 512
    decided = ApproximateGate()
    assert decided.update(-1.0 + z) is FAIL
    assert decided.update(np.full(5000, 9.0)) is FAIL
    assert decided.n == 64


def test_one_by_one_equals_all_at_once():
    z = np.random.default_rng(7).normal(0.3, 1.0, 512)
    whole, single = ApproximateGate(), ApproximateGate()
    whole.update(z)
    for value in z:
        single.update(value)
    assert (whole.outcome, whole.n, whole.estimate, whole.interval) == (
        single.outcome,
        single.n,
        single.estimate,
        single.interval,
    )
    assert whole.outcome is PASS


def test_each_look_spends_a_twelfth_of_the_level():
    z = np.random.default_rng(8).normal(0.0, 1.0, 64)
    z += -z.mean() + z.std(ddof=1) / 8 * 2.0
    p = ttest_1samp(z, 0.0, alternative="greater").pvalue
    for share, outcome in ((11.9, INCONCLUSIVE), (12.1, PASS)):
        gate = ApproximateGate(levels=ErrorLevels(pass_=p * share, fail=0.001))
        assert gate.update(z) is outcome
        assert (gate.interval[0] > 0.0) == (outcome is PASS)
        mirrored = ApproximateGate(levels=ErrorLevels(pass_=0.001, fail=p * share))
        assert (mirrored.update(-z) is FAIL) == (outcome is PASS)
        assert (mirrored.interval[1] < 0.0) == (outcome is PASS)


def errors_under_the_null(draw, levels, runs):
    decided = []
    for _ in range(runs):
        gate = ApproximateGate(levels=levels)
        decided.append(gate.update(draw()))
    return decided.count(PASS), decided.count(FAIL)


def test_false_decisions_under_four_looks_stay_below_the_level():
    rng = np.random.default_rng(9)
    normal = errors_under_the_null(lambda: rng.normal(0.0, 1.0, 512), ErrorLevels(0.15, 0.15), 500)
    assert all(at_most(errors, 500, 0.05) for errors in normal)
    assert min(normal) > 2
    heavy = errors_under_the_null(lambda: 1.0 - rng.exponential(1.0, 512), ErrorLevels(0.03, 0.03), 500)
    assert all(at_most(errors, 500, 0.03) for errors in heavy)


def test_values_without_spread_decide_nothing():
    gate = ApproximateGate()
    assert gate.update(np.ones(512)) is INCONCLUSIVE
    assert gate.interval == (-math.inf, math.inf)
    assert gate.needed() is None


def test_needed_is_the_next_look_that_would_do():
    rng = np.random.default_rng(10)
    noise = rng.normal(0.0, 1.0, 64)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    for mean, expected in ((0.25, 256), (-0.25, 256), (0.16, 512), (0.01, None), (0.0, None)):
        gate = ApproximateGate()
        assert gate.update(noise + mean) is INCONCLUSIVE
        assert gate.needed() == expected
    assert ApproximateGate().needed() is None
    assert ApproximateGate().estimate is None


def test_nan_is_refused():
    with pytest.raises(NonFiniteMeasurement, match="value 1 of this update is nan"):
        ApproximateGate().update([0.0, math.nan])
