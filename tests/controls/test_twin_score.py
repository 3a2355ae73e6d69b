"""Scales on which a model is compared with its twins."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log, nan

import numpy as np
import pytest

from interp_assert.controls import TwinScale, TwinScore
from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.stats import Measurement, logit_count


def measured(values: list[float], lo: float = 0.0, hi: float = 1.0, direction: str = "higher") -> Measurement:
    names = tuple(f"c{i}" for i in range(len(values)))
    return Measurement("mine", 1, names, np.array(values), lo, hi, "share", direction)  # type: ignore[arg-type]


def test_clusters_that_differ_more_than_trials_widen_the_error() -> None:
    even = TwinScore.proportion(500.0, 1000, np.full(50, 0.5))
    uneven = TwinScore.proportion(500.0, 1000, np.array([0.0, 1.0] * 25))
    assert even.scaled == uneven.scaled
    assert uneven.error > 4 * even.error


def test_the_error_of_variance_explained_is_its_spread_over_samples_of_documents() -> None:
    rng = np.random.default_rng(0)

    def sample() -> TwinScore:
        total = rng.gamma(5.0, 1.0, 200)
        return TwinScore.variance_explained(total * rng.beta(2.0, 8.0, 200), total)

    scores = [sample() for _ in range(400)]
    assert np.mean([score.value for score in scores]) == pytest.approx(0.8, abs=0.002)
    assert np.mean([score.scaled for score in scores]) == pytest.approx(-log(0.2), abs=0.01)
    assert np.mean([score.error for score in scores]) == pytest.approx(np.std([s.scaled for s in scores]), rel=0.1)


def test_a_perfect_reconstruction_and_a_worthless_one_have_finite_scores() -> None:
    perfect = TwinScore.variance_explained(np.zeros(4), np.ones(4))
    assert perfect.value == 1.0
    assert perfect.scaled == pytest.approx(12 * log(10))
    assert TwinScore.variance_explained(np.full(4, 53.0), np.ones(4)).value == -52.0


def test_auroc_is_compared_on_the_logit_scale_with_the_error_that_was_measured() -> None:
    score = TwinScore.auroc(0.8, error=0.02, positives=100, negatives=300)
    assert score.scaled == logit_count(80, 100)[0]
    assert score.error == pytest.approx(0.02 / (0.8 * 0.2), rel=0.02)
    assert score.n == 400
    perfect = TwinScore.auroc(1.0, error=0.0, positives=100, negatives=300)
    assert (perfect.scaled, perfect.error) == logit_count(100, 100)


def test_a_bounded_measurement_is_a_proportion_of_its_range() -> None:
    score = TwinScore.of(measured([0.5, 0.0, 0.25], lo=-1.0))
    assert score.value == pytest.approx(0.25)
    assert score.scaled == pytest.approx(logit_count(3 * 0.625, 3)[0])
    assert score.scale.name == "logit on [-1, 1]"
    lower = TwinScore.of(measured([0.5, 0.0, 0.25], lo=-1.0, direction="lower"))
    assert lower.scaled == -score.scaled


def test_a_cluster_may_stand_for_many_trials() -> None:
    none = measured([0.0] * 8)
    alone, many = TwinScore.of(none), TwinScore.of(replace(none, details={"trials": 19}))
    assert (alone.scaled, alone.error) == logit_count(0, 8)
    assert (many.scaled, many.error, many.trials) == (*logit_count(0, 8 * 19), 152)


def test_an_unbounded_measurement_is_compared_as_it_is() -> None:
    score = TwinScore.of(measured([1.0, 2.0, 6.0], lo=-inf, hi=inf, direction="lower"))
    assert (score.value, score.scaled) == (3.0, -3.0)
    assert score.error == pytest.approx(np.std([1, 2, 6], ddof=1) / 3**0.5)
    assert score.scale.margin == 0.0


@pytest.mark.parametrize(
    ("scale", "value"),
    [
        (TwinScale(), 7.5),
        (TwinScale(lower=True), 7.5),
        (TwinScale("logit"), 0.3),
        (TwinScale("logit", -1.0, 1.0, lower=True), -0.3),
        (TwinScale("log_unexplained"), -3.0),
    ],
)
def test_a_bound_is_shown_as_the_value_that_stands_there(scale: TwinScale, value: float) -> None:
    share = (value - scale.lo) / (scale.hi - scale.lo)
    forward = {"identity": lambda: value, "logit": lambda: log(share / (1 - share)), "log_unexplained": lambda: -log(4)}
    scaled = forward[scale.kind]()
    assert scale.back(-scaled if scale.lower else scaled) == pytest.approx(value)


def test_a_score_that_is_not_finite_is_refused() -> None:
    with pytest.raises(NonFiniteMeasurement, match="nan"):
        TwinScore.identity(nan)
    with pytest.raises(UsageProblem, match="some variance"):
        TwinScore.variance_explained(np.zeros(3), np.zeros(3))
    with pytest.raises(UsageProblem, match="both classes"):
        TwinScore.auroc(0.5, error=0.1, positives=0, negatives=3)
