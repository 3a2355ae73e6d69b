"""The message of a failure: a first line that says it all, then the evidence, safe to print anywhere."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import replace

import pytest

from interp_assert.assertions import InterpAssertionError, NotApplicable
from interp_assert.assertions.message import first_line, story
from interp_assert.assertions.text import interval, number, safe_line, table
from interp_assert.stats import ControlResult, Cost, ErrorLevels, Outcome, Verdict


def verdict(**changes: object) -> Verdict:
    base = Verdict(
        check="circuits/induction",
        outcome=Outcome.FAIL,
        model="zoo:x",
        layer=None,
        claim="it copies",
        estimate=0.031,
        interval=(0.02, 0.05),
        n=128,
        threshold=0.5,
        direction="higher",
        levels=ErrorLevels(),
        controls=(
            ControlResult("shuffled", Outcome.PASS, 0.3, (0.1, 0.4), 0.05, 40),
            ControlResult(
                "random_weights", Outcome.INCONCLUSIVE, 0.03, None, 0.2, 64, approximate=True, note="5 twins"
            ),
        ),
        details={
            "quantity": "accuracy",
            "by_block": [{"block": 0, "score": 0.5}, {"block": 11, "score": 0.25}],
            "profile": {"accuracy": "repeated 0.031"},
            "reproduce": "assert_induction(load('zoo:x'))",
        },
        cost=Cost(3, 1000, 1.5, 0),
        reason="the claim's opposite is established",
        claim_outcome=Outcome.FAIL,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_the_first_line_carries_check_value_threshold_model_and_layer() -> None:
    assert first_line(verdict()) == (
        "circuits/induction FAIL: accuracy 0.031 [0.0200, 0.0500] is not above 0.5 for zoo:x (all blocks), n = 128"
    )
    assert "(block 3 of 4)" in first_line(verdict(layer="block 3 of 4"))


def test_a_passed_claim_names_the_control_that_failed() -> None:
    controls = (ControlResult("shuffled", Outcome.FAIL, 0.0, (-0.1, 0.04), 0.05, 90),)
    line = first_line(verdict(claim_outcome=Outcome.PASS, controls=controls))
    assert "FAIL: accuracy 0.031" in line
    assert "is above 0.5" in line
    assert line.endswith("control shuffled FAIL")


def test_an_undecided_claim_says_so_and_what_it_would_take() -> None:
    undecided = verdict(outcome=Outcome.INCONCLUSIVE, claim_outcome=Outcome.INCONCLUSIVE, needed=700)
    assert "is not shown to be above or below 0.5" in first_line(undecided)
    assert "would probably need 700 clusters" in story(undecided)


def test_not_applicable_gives_the_reason_at_once() -> None:
    nothing = verdict(
        outcome=Outcome.NOT_APPLICABLE,
        claim_outcome=Outcome.NOT_APPLICABLE,
        estimate=None,
        interval=None,
        threshold=None,
        n=0,
        reason="it has no tokenizer",
    )
    assert first_line(nothing) == "circuits/induction NOT_APPLICABLE for zoo:x (all blocks): it has no tokenizer"
    assert "measured" not in story(nothing)


def test_the_body_holds_the_evidence() -> None:
    text = story(verdict())
    for part in (
        "it copies",
        "[0.0200, 0.0500]",
        "n = 128",
        "wrong PASS 0.01, wrong FAIL 0.001, controls 0.01",
        "the claim's opposite is established",
        "repeated 0.031",
        "3 forward passes, 1000 tokens, 1.5 s",
        "assert_induction(load('zoo:x'))",
    ):
        assert part in text
    assert re.search(r"shuffled +PASS +0\.300 \[0\.1000, 0\.4000\] against 0\.050, n = 40", text)
    assert re.search(r"random_weights +INCONCLUSIVE +0\.030 against 0\.200, n = 64 \(approximate\); 5 twins", text)
    assert "    block  score\n        0  0.500\n       11  0.250" in text


HOSTILE = "evil\n::error::owned\r\x1b[31mred\x00\u202eesrever 模型"


def test_hostile_names_can_neither_break_the_line_nor_command_a_terminal() -> None:
    controls = (ControlResult(HOSTILE, Outcome.FAIL, 0.1, None, 0.2, 3, note=HOSTILE),)
    details = {
        "quantity": HOSTILE,
        "by_block": [{HOSTILE: HOSTILE}],
        "profile": {HOSTILE: HOSTILE},
        "reproduce": HOSTILE,
    }
    text = story(
        verdict(model=HOSTILE, layer=HOSTILE, claim=HOSTILE, reason=HOSTILE, controls=controls, details=details)
    )
    assert all(c == "\n" or (c.isascii() and c.isprintable()) for c in text)
    assert not re.search(r"^\s*::", text, re.MULTILINE)
    assert "evil\\x0a" in text.splitlines()[0]
    assert "\\u202e" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (3, "3"),
        (0.5, "0.500"),
        (0.0, "0"),
        (1e-7, "1e-07"),
        (12345.6, "1.23e+04"),
        (float("inf"), "inf"),
        ("a", "a"),
    ],
)
def test_numbers_are_short(value: object, shown: str) -> None:
    assert number(value) == shown


def test_an_interval_shows_its_ends_or_nothing() -> None:
    assert interval(None) == ""
    assert interval((0.049951, float("inf"))) == "[0.0500, inf]"


def test_tables_align_and_may_be_empty() -> None:
    assert table([]) == []
    assert table([{"a": 1, "b": None}, {"a": 100}]) == ["  a  b", "  1  -", "100  -"]


def test_safe_line_keeps_ordinary_text() -> None:
    assert safe_line("org/name@rev (x): 5%") == "org/name@rev (x): 5%"


@pytest.mark.parametrize("kind", [InterpAssertionError, NotApplicable])
def test_failures_travel_between_processes(kind: type[InterpAssertionError]) -> None:
    failure = kind(verdict())
    for other in (pickle.loads(pickle.dumps(failure)), copy.copy(failure)):
        assert type(other) is kind
        assert str(other) == str(failure)
        assert other.verdict.as_dict() == failure.verdict.as_dict()
    assert isinstance(failure, AssertionError)
