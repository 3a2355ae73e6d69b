"""All claims of a gate together stay within its budget of false alarms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from interp_assert.controls import control_levels
from interp_assert.gates.false_alarms import MOST_CONTROLS, shares
from interp_assert.stats import ErrorLevels, Outcome, SequentialGate

from .suites import gate_of


@pytest.mark.parametrize("claims", [1, 4, 20, 500])
@pytest.mark.parametrize("budget", [0.001, 0.01, 0.2])
def test_the_sum_over_claims_and_their_controls_is_within_the_budget(claims: int, budget: float) -> None:
    fail, control = shares(budget, claims, 0.001)
    assert claims * (2 * fail + MOST_CONTROLS * control) <= budget * (1 + 1e-12)
    assert fail <= 0.001
    assert control <= 0.01


def test_only_what_can_block_has_a_share(tmp_path: Path) -> None:
    text = """
    suites: [toy]
    false-alarms: .002
    claims: {toy/other: {advisory: true}}
    models: [zoo:a, zoo:b, zoo:c]
    waivers: [{model: zoo:c, claim: toy/claim, reason: r, owner: o, expires: 2026-03-02}]
    """
    claims = {(m.label, c.check): c for m in gate_of(text, tmp_path).models for c in m.claims}
    able = [claims["zoo:a", "toy/claim"], claims["zoo:b", "toy/claim"]]
    assert [claim.alpha_fail for claim in able] == [0.00025, 0.00025]
    assert [claim.alpha_control_fail for claim in able] == [0.0005 / MOST_CONTROLS] * 2
    for place in (("zoo:c", "toy/claim"), ("zoo:a", "toy/other")):
        assert (claims[place].alpha_fail, claims[place].alpha_control_fail) == (0.001, None)


def test_runs_of_true_claims_end_in_block_no_more_often_than_the_budget_says() -> None:
    """Six claims, each with a control, all as close to false as true claims can be, and a budget of a tenth."""
    budget, claims, runs, clusters = 0.1, 6, 300, 256
    fail, control = shares(budget, claims, 0.05)
    levels = ErrorLevels(fail=fail, control_fail=control)
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(runs):
        outcomes = []
        for _ in range(claims):
            for threshold, its in ((0.8, levels), (0.5, control_levels(levels))):
                gate = SequentialGate(threshold, levels=its)
                outcomes.append(gate.update((rng.random(clusters) < threshold).astype(float)))
        alarms += Outcome.FAIL in outcomes
    assert alarms <= 0.1 * runs
