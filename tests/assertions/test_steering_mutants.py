"""Each way in which steering has been judged wrongly is put into the code, and a check that the real code passes must
fail: see ``test_mutants``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import interp_assert.assertions.steers_run as steers_run
import interp_assert.measures.steering as steering
import interp_assert.models.edits as edits
from interp_assert.assertions.steers_run import SteeringRun, _Training
from interp_assert.stats import Outcome

from . import test_steers_assertion as oracle
from .outcome import control, verdict_of

twins = import_module("interp_assert.models.twins")

real_difference, real_target = steers_run.class_difference, steers_run.resolve_target
real_site, real_split = steers_run.steering_site, steers_run.split_by_group


def every_figure_is_the_known_one() -> None:
    oracle.test_in_a_linear_model_every_figure_is_the_known_one()


def a_direction_that_is_read_passes() -> None:
    assert verdict_of(oracle.steers, oracle.linear()).outcome is Outcome.PASS


def a_direction_like_any_other_does_not() -> None:
    """Classes that differ in nothing: half of such directions move every prompt the right way."""
    found = verdict_of(oracle.steers, oracle.linear(0.0), target=("down", "up"), floor=0.0, twins=2)
    other = verdict_of(oracle.steers, oracle.linear(0.0), floor=0.0, twins=2)
    assert Outcome.PASS in (found.claim_outcome, other.claim_outcome)
    for verdict in (found, other):
        assert control(verdict, "random_directions").outcome is not Outcome.PASS
        assert control(verdict, "shuffled_labels").outcome is not Outcome.PASS


def every_twin_has_its_own_direction() -> None:
    oracle.test_every_twin_is_steered_along_a_direction_of_its_own()


def slopes_are_least_squares() -> None:
    found = steering.slopes_over((-2.0, 0.0, 1.0, 2.0), np.array([[5.0, 1.0, 2.0, 9.0]]))
    expected = np.polyfit([-2.0, 0.0, 1.0, 2.0], [5.0, 1.0, 2.0, 9.0], 1)[0]
    assert found[0] == pytest.approx(expected)


def of_the_first_model(self: _Training, model: Any, site: str) -> np.ndarray:
    """Twins steered along the direction of the model."""
    self.__dict__.setdefault("_known", real_difference(model, self.rows, self.labels, [site])[site])
    return np.asarray(self.__dict__["_known"])


MUTANTS: dict[str, tuple[Any, str, Any, Callable[[], None]]] = {
    "class 0 minus class 1": (
        steers_run,
        "class_difference",
        lambda *arguments: {site: -v for site, v in real_difference(*arguments).items()},
        a_direction_that_is_read_passes,
    ),
    "target the other way round": (
        steers_run,
        "resolve_target",
        lambda *arguments: real_target(*arguments)[::-1],
        a_direction_that_is_read_passes,
    ),
    "the dose is never added": (edits, "add", lambda value: lambda x: x, every_figure_is_the_known_one),
    "one block too low": (
        steers_run,
        "steering_site",
        lambda model, layer: real_site(model, layer - 1),
        every_figure_is_the_known_one,
    ),
    "made of all texts": (
        steers_run,
        "split_by_group",
        lambda labels, groups, **options: replace(
            real_split(labels, groups, **options), train=np.arange(len(labels), dtype=np.int64)
        ),
        every_figure_is_the_known_one,
    ),
    "random directions of length 1": (
        steers_run,
        "norm_matched",
        lambda direction, seed: [v / np.linalg.norm(v) for v in np.random.default_rng(seed).normal(size=(20, 48))],
        every_figure_is_the_known_one,
    ),
    "labels are not dealt": (
        _Training,
        "shuffled",
        lambda self, count, seed: np.tile(self.labels, (count, 1)),
        a_direction_that_is_read_passes,
    ),
    "controls left out": (
        SteeringRun,
        "_slopes",
        lambda self, model, directions: [np.zeros(len(self.some)) for _ in directions],
        a_direction_like_any_other_does_not,
    ),
    "twins alias the trained weights": (
        twins,
        "twins",
        lambda model, **options: iter([model] * 5),
        a_direction_that_is_read_passes,
    ),
    "twins steered along the model's direction": (
        _Training,
        "direction",
        of_the_first_model,
        every_twin_has_its_own_direction,
    ),
    "slope of the ends": (
        steering,
        "slopes_over",
        lambda alphas, metric: (metric[:, -1] - metric[:, 0]) / (alphas[-1] - alphas[0]),
        slopes_are_least_squares,
    ),
}

CHECKS = list(dict.fromkeys(check for *_, check in MUTANTS.values()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_code_passes(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_killed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, mutant, check = MUTANTS[name]
    monkeypatch.setattr(where, attribute, mutant)
    with pytest.raises(AssertionError):
        check()
