"""Verdicts combine a claim with its controls and become plain JSON."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from interp_assert.errors import NonFiniteMeasurement
from interp_assert.stats import ControlResult, Cost, ErrorLevels, Outcome, Verdict, combine

PASS, FAIL, INCONCLUSIVE, NOT_APPLICABLE = Outcome


def control(outcome, required=True, **changes):
    fields = {"name": "twins", "outcome": outcome, "estimate": 0.1, "interval": (0.0, 0.2), "threshold": 0.3, "n": 5}
    return ControlResult(**{**fields, "required": required, **changes})


def verdict(**changes):
    fields = {
        "check": "circuits/induction",
        "outcome": PASS,
        "model": "zoo:gpt2",
        "layer": None,
        "claim": "It copies.",
        "estimate": 0.9,
        "interval": (0.8, 1.0),
        "n": 16,
        "threshold": 0.05,
        "direction": "higher",
        "levels": ErrorLevels(),
        "controls": (control(PASS),),
        "details": {},
        "cost": Cost(3, 120, 0.5),
        "claim_outcome": PASS,
    }
    return Verdict(**{**fields, **changes})


@pytest.mark.parametrize(
    ("claim", "controls", "expected"),
    [
        (PASS, [], PASS),
        (PASS, [PASS, PASS], PASS),
        (PASS, [PASS, FAIL], FAIL),
        (PASS, [INCONCLUSIVE, PASS], INCONCLUSIVE),
        (PASS, [NOT_APPLICABLE], NOT_APPLICABLE),
        (PASS, [NOT_APPLICABLE, FAIL], FAIL),
        (INCONCLUSIVE, [PASS], INCONCLUSIVE),
        (INCONCLUSIVE, [FAIL], FAIL),
        (INCONCLUSIVE, [NOT_APPLICABLE], NOT_APPLICABLE),
        (FAIL, [PASS], FAIL),
        (FAIL, [NOT_APPLICABLE], FAIL),
        (NOT_APPLICABLE, [PASS], NOT_APPLICABLE),
        (NOT_APPLICABLE, [FAIL], NOT_APPLICABLE),
    ],
)
def test_combine(claim, controls, expected):
    assert combine(claim, [control(outcome) for outcome in controls]) is expected
    assert combine(claim, [control(outcome) for outcome in reversed(controls)]) is expected


def test_pass_needs_everything_required_to_pass():
    for claim, first, second in itertools.product(Outcome, repeat=3):
        together = combine(claim, [control(first), control(second)])
        assert (together is PASS) == ({claim, first, second} == {PASS})


def test_advisory_controls_change_nothing():
    for claim, outcome in itertools.product(Outcome, repeat=2):
        assert combine(claim, [control(outcome, required=False)]) is claim


def test_outcomes_print_as_words():
    assert f"{PASS} {NOT_APPLICABLE!s}" == "PASS NOT_APPLICABLE"
    assert json.dumps(PASS) == '"PASS"'


def test_as_dict_has_the_keys_of_the_results_file():
    plain = verdict(needed=400, reason="the model guesses").as_dict()
    expected = {
        "check": "circuits/induction",
        "model": "zoo:gpt2",
        "layer": None,
        "claim": "It copies.",
        "verdict": "PASS",
        "claim_verdict": "PASS",
        "estimate": 0.9,
        "interval": [0.8, 1.0],
        "n": 16,
        "threshold": 0.05,
        "direction": "higher",
        "levels": {"pass": 0.01, "fail": 0.001, "control": 0.01},
        "controls": [
            {
                "name": "twins",
                "verdict": "PASS",
                "estimate": 0.1,
                "interval": [0.0, 0.2],
                "threshold": 0.3,
                "n": 5,
                "approximate": False,
                "required": True,
                "note": "",
                "details": {},
            }
        ],
        "details": {},
        "needed": 400,
        "reason": "the model guesses",
        "population": None,
        "asked": {"parameters": {}, "clusters": None, "seed": None},
        "forward_passes": 3,
        "tokens": 120,
        "seconds": 0.5,
        "remembered": None,
    }
    assert plain == expected


def builtins_only(value):
    if isinstance(value, dict):
        return all(type(key) is str and builtins_only(entry) for key, entry in value.items())
    if isinstance(value, list):
        return all(builtins_only(entry) for entry in value)
    return value is None or type(value) in (bool, int, float, str)


def test_as_dict_turns_numpy_into_builtins_and_what_is_not_finite_into_none():
    details = {
        "heads": np.array([[0.5, np.nan], [1.0, np.inf]], dtype=np.float32),
        "rank": np.int64(3),
        "share": np.float64(0.25),
        "flag": np.bool_(True),
        3: ("a", {"b": float("nan")}),
        "outcome": Outcome.FAIL,
        "cost": Cost(1, 2, 3.0, 4),
        "levels": ErrorLevels(),
    }
    plain = verdict(
        estimate=np.float64(0.5), n=np.int64(7), details=details, interval=(-np.inf, np.float32(1))
    ).as_dict()
    assert builtins_only(plain)
    assert plain["details"] == {
        "heads": [[0.5, None], [1.0, None]],
        "rank": 3,
        "share": 0.25,
        "flag": True,
        "3": ["a", {"b": None}],
        "outcome": "FAIL",
        "cost": {"forward_passes": 1, "tokens": 2, "seconds": 3.0, "peak_memory": 4},
        "levels": {"pass_": 0.01, "fail": 0.001, "control": 0.01, "control_fail": None},
    }
    assert plain["interval"] == [None, 1.0]
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_as_dict_names_what_has_no_json_form():
    with pytest.raises(TypeError, match=r"details\.by_block\[1\]\.x is a object"):
        verdict(details={"by_block": [0, {"x": object()}]}).as_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimate": float("nan")}, "estimate is nan"),
        ({"estimate": float("inf")}, "estimate is inf"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"interval": (0.0, float("nan"))}, "contains NaN"),
    ],
)
def test_nan_never_reaches_a_verdict(changes, message):
    with pytest.raises(NonFiniteMeasurement, match=message):
        verdict(**changes)
    with pytest.raises(NonFiniteMeasurement, match=message):
        control(PASS, **changes)
