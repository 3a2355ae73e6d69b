"""Exact controls: the score on a cluster minus that on its null input."""

from __future__ import annotations

import numpy as np
import pytest

from interp_assert.controls import PairedControl, control_levels, shuffled, shuffled_targets, unrepeated
from interp_assert.stats import BadMeasurement, ErrorLevels, Measurement, Outcome


def scores(values: list[float], *, start: int = 0) -> Measurement:
    names = tuple(str(i) for i in range(start, start + len(values)))
    return Measurement("x", 1, names, np.array(values), 0, 1, "share", "higher")


def test_a_clear_advantage_passes_and_stops_counting() -> None:
    control = shuffled(0.05, ErrorLevels())
    assert control.update(scores([1.0] * 40), scores([0.0] * 40)) is Outcome.PASS
    assert control.result().n < 40
    assert control.update(scores([0.0] * 40, start=40), scores([1.0] * 40, start=40)) is Outcome.PASS


def test_no_advantage_fails_at_the_controls_level() -> None:
    control = unrepeated(0.05, ErrorLevels())
    assert control.update(scores([0.5] * 200), scores([0.5] * 200)) is Outcome.FAIL
    strict = unrepeated(0.05, ErrorLevels(control=1e-6))
    assert strict.update(scores([0.5] * 200), scores([0.5] * 200)) is Outcome.INCONCLUSIVE


def test_the_result_names_everything() -> None:
    control = PairedControl("null", 0.05, ErrorLevels(), note="what it is")
    control.update(scores([0.6, 0.4]), scores([0.5, 0.3]))
    result = control.result()
    assert (result.name, result.outcome, result.n, result.threshold) == ("null", Outcome.INCONCLUSIVE, 2, 0.05)
    assert result.estimate == pytest.approx(0.1)
    assert result.interval is not None
    assert result.interval[0] < 0.05 < result.interval[1]
    assert result.note == "what it is"
    assert result.details["needed"] > 2


def test_nothing_drawn_has_no_figures() -> None:
    result = unrepeated(0.05, ErrorLevels()).result()
    assert (result.outcome, result.n, result.estimate, result.interval) == (Outcome.INCONCLUSIVE, 0, None, None)


def test_pairs_must_be_of_the_same_clusters() -> None:
    with pytest.raises(BadMeasurement, match="cannot be compared in pairs"):
        shuffled(0.05, ErrorLevels()).update(scores([1.0]), scores([0.0], start=1))


def test_both_sides_have_the_level_of_controls() -> None:
    assert control_levels(ErrorLevels(pass_=0.1, fail=0.2, control=0.003)) == ErrorLevels(0.003, 0.003, 0.003)


def test_a_finite_list_drawn_to_its_end_is_decided() -> None:
    control = shuffled_targets(0.05, ErrorLevels(), population=20)
    real = [1.0, 0.0] * 10
    assert control.update(scores(real), scores([0.4] * 20)) is Outcome.PASS
