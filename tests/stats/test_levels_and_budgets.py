"""Error levels and budgets refuse what cannot be meant."""

from __future__ import annotations

import subprocess
import sys

import pytest

from interp_assert.controls import control_levels
from interp_assert.errors import UsageProblem
from interp_assert.stats import QUICK, STANDARD, THOROUGH, Budget, ErrorLevels


def test_the_default_levels_and_budgets_are_those_of_the_design():
    assert ErrorLevels() == ErrorLevels(pass_=0.01, fail=0.001, control=0.01)
    assert [(b.name, b.clusters) for b in (QUICK, STANDARD, THOROUGH)] == [
        ("quick", 128),
        ("standard", 512),
        ("thorough", 4096),
    ]
    assert Budget.named("standard") == STANDARD


@pytest.mark.parametrize("name", ["pass_", "fail", "control"])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, -0.1, float("nan"), float("inf"), "0.01", None, True])
def test_a_level_outside_its_range_is_refused_with_its_name_and_value(name, level):
    with pytest.raises(UsageProblem, match=rf"{name.rstrip('_')}={level!r} must be a number above 0 and below 0.5"):
        ErrorLevels(**{name: level})


def test_a_controls_fail_has_the_level_of_its_pass_unless_it_has_its_own():
    assert ErrorLevels().control_fail is None
    assert ErrorLevels(control_fail=1e-4).as_dict() == {
        "pass": 0.01,
        "fail": 0.001,
        "control": 0.01,
        "control_fail": 1e-4,
    }
    assert "control_fail" not in ErrorLevels().as_dict()
    assert control_levels(ErrorLevels(control=0.02)) == ErrorLevels(pass_=0.02, fail=0.02, control=0.02)
    assert control_levels(ErrorLevels(control_fail=1e-4)) == ErrorLevels(pass_=0.01, fail=1e-4)
    with pytest.raises(UsageProblem, match=r"control_fail=0\.0 must be"):
        ErrorLevels(control_fail=0.0)


@pytest.mark.parametrize("clusters", [0, -1, 2.5, "many", True, None])
def test_a_budget_needs_a_positive_whole_number(clusters):
    with pytest.raises(UsageProblem, match="at least 1"):
        Budget("mine", clusters)


def test_an_unknown_budget_names_the_choices():
    with pytest.raises(UsageProblem, match=r"'huge'.*quick \(128\), standard \(512\), thorough \(4,096\)"):
        Budget.named("huge")


def test_levels_budgets_and_outcomes_cost_no_numpy():
    code = (
        "import sys; from interp_assert.stats import Budget, ErrorLevels, Outcome, Verdict, combine;"
        "print([m for m in ('numpy', 'scipy', 'torch') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_importing_the_gate_does_not_import_scipy():
    code = "import sys; from interp_assert.stats import SequentialGate, Measurement; print('scipy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_every_exported_name_exists_and_an_unknown_one_is_an_attribute_error():
    from interp_assert import stats

    assert all(getattr(stats, name) is not None for name in stats.__all__)
    assert dir(stats) == stats.__all__
    with pytest.raises(AttributeError, match="no attribute 'bootstrap'"):
        stats.bootstrap  # noqa: B018 -- the access is what is tested
