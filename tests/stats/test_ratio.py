"""The gate for a ratio of means: what it decides, that its interval agrees, and how often it is wrong."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.stats import ErrorLevels, Outcome, RatioGate, ratio_interval


def pairs(rng: np.random.Generator, n: int, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of very different sizes whose means have the given ratio, larger ones with a smaller ratio."""
    size = np.exp(rng.normal(0.0, 0.5, n))
    return ratio * np.exp(0.125) * (0.5 + 0.5 * size / np.exp(0.125)) * rng.gamma(4, 0.25, n), size


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    limit=st.floats(0.05, 2.0),
    direction=st.sampled_from(["lower", "higher"]),
    n=st.integers(1, 600),
)
def test_the_interval_agrees_with_the_decision(seed: int, limit: float, direction: str, n: int) -> None:
    gate = RatioGate(limit, direction=direction)  # type: ignore[arg-type]
    gate.update(*pairs(np.random.default_rng(seed), n, 0.5))
    low, high = gate.interval
    assert gate.estimate is not None
    if gate.n in (64, 128, 256, 512):
        assert low <= gate.estimate <= high
    if gate.outcome is not Outcome.INCONCLUSIVE:
        clear = high <= limit if (gate.outcome is Outcome.PASS) == (direction == "lower") else low >= limit
        assert clear
    elif n in (64, 128, 256, 512):
        assert low <= limit <= high


def test_it_looks_at_the_ratio_of_means_and_not_at_the_mean_of_ratios() -> None:
    """One cluster in four is tiny and moved a lot: the mean of ratios is .77, the ratio of means .04."""
    size = np.tile([1.0, 1.0, 1.0, 0.01], 16) + np.linspace(0, 1e-3, 64)
    moved = np.full(64, 0.03)
    gate = RatioGate(0.06)
    assert gate.update(moved, size) is Outcome.PASS
    assert gate.estimate == pytest.approx(0.03 / size.mean())


def test_the_interval_of_a_ratio() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 50)
    reach = stats.t.ppf(0.975, 49) * values.std(ddof=1) / 50**0.5
    expected = (values.mean() - reach, values.mean() + reach)
    assert ratio_interval(values, np.ones(50), level=0.05) == pytest.approx(expected), "over 1 it is Student's"
    held = 0
    for seed in range(400):
        low, high = ratio_interval(*pairs(np.random.default_rng(seed), 64, 0.5), level=0.05)
        held += low <= 0.5 <= high
    assert 0.92 <= held / 400 <= 0.975
    assert ratio_interval([1.0], [2.0], level=0.05) == (-inf, inf)
    assert ratio_interval(np.zeros(9), np.arange(9.0) + 1, level=0.05) == (0.0, 0.0)


def test_a_mean_without_bounds() -> None:
    kl = np.random.default_rng(1).exponential(0.1, 64)
    gate = RatioGate(0.2)
    assert gate.update(kl) is Outcome.PASS
    assert gate.estimate == pytest.approx(kl.mean())
    assert gate.interval[0] < kl.mean() < gate.interval[1] < 0.2
    assert RatioGate(0.04).update(kl) is Outcome.FAIL
    assert RatioGate(0.04, direction="higher").update(kl) is Outcome.PASS


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_at_the_limit_it_seldom_passes(direction: str) -> None:
    """Nominal .01; heavy tails may cost up to three times that, and it runs at a third."""
    wrong = 0
    for seed in range(200):
        gate = RatioGate(0.5, direction=direction)  # type: ignore[arg-type]
        gate.update(*pairs(np.random.default_rng([7, seed]), 512, 0.5))
        wrong += gate.outcome is Outcome.PASS
    assert wrong <= 7


def test_nothing_is_decided_before_a_look_or_without_spread() -> None:
    gate = RatioGate(0.5)
    assert gate.update(np.zeros(63), np.ones(63)) is Outcome.INCONCLUSIVE
    assert gate.interval == (-inf, inf)
    assert gate.update(np.zeros(500), np.ones(500)) is Outcome.INCONCLUSIVE
    assert gate.estimate == 0.0
    moved_nowhere = RatioGate(0.5)
    assert moved_nowhere.update(np.zeros(64), np.linspace(1, 2, 64)) is Outcome.PASS
    assert moved_nowhere.interval == (0.0, 0.0)


def test_levels_count() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(0.48, 0.06, 64)
    assert RatioGate(0.5, levels=ErrorLevels(pass_=0.2)).update(a) is Outcome.PASS
    assert RatioGate(0.5, levels=ErrorLevels(pass_=1e-4)).update(a) is Outcome.INCONCLUSIVE


def test_bad_input() -> None:
    with pytest.raises(UsageProblem, match="limit=nan must be finite"):
        RatioGate(float("nan"))
    with pytest.raises(NonFiniteMeasurement):
        RatioGate(0.5).update([0.1, float("nan")])
    with pytest.raises(NonFiniteMeasurement):
        RatioGate(0.5).update([0.1, 0.2], [1.0, inf])
