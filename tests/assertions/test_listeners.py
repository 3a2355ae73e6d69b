"""Every verdict reaches those who listen, passed or not; progress too."""

from __future__ import annotations

from contextlib import suppress

import pytest
from measures.small import gpt2
from oracles import induction_gpt2

from interp_assert.assertions import InterpAssertionError, NotApplicable, assert_induction, recording, reporting
from interp_assert.assertions.engine import whole_budget
from interp_assert.assertions.progress import report
from interp_assert.models import wrap
from interp_assert.stats import Outcome, Verdict


def test_passed_failed_and_inapplicable_verdicts_are_recorded_before_the_end() -> None:
    heard: list[Verdict] = []
    with recording(heard.append):
        assert_induction(wrap(induction_gpt2.build(12.0)), twins=2)
        with pytest.raises(InterpAssertionError):
            assert_induction(gpt2(), twins=2)
        with pytest.raises(NotApplicable):
            assert_induction(gpt2(), n=60)
    assert [v.outcome for v in heard] == [Outcome.PASS, Outcome.FAIL, Outcome.NOT_APPLICABLE]


@pytest.mark.parametrize(("beta", "outcome"), [(12.0, Outcome.PASS), (0.0, Outcome.FAIL)])
def test_a_verdict_is_the_same_where_the_whole_budget_is_measured(beta: float, outcome: Outcome) -> None:
    heard: list[Verdict] = []
    model = wrap(induction_gpt2.build(beta))
    with recording(heard.append), suppress(InterpAssertionError):
        assert_induction(model, twins=2, budget="quick" if outcome is Outcome.PASS else 300)
    with recording(heard.append), suppress(InterpAssertionError), whole_budget():
        assert_induction(model, twins=2, budget="quick" if outcome is Outcome.PASS else 300)
    stopped, whole = heard
    assert (stopped.outcome, whole.outcome) == (outcome, outcome)
    assert stopped.measurements[0].n < whole.measurements[0].n == (128 if outcome is Outcome.PASS else 300)
    if outcome is Outcome.PASS:
        assert (stopped.n, stopped.estimate, stopped.interval) == (whole.n, whole.estimate, whole.interval)


def test_listeners_nest_and_leave_with_their_block() -> None:
    outer: list[Verdict] = []
    inner: list[Verdict] = []
    with recording(outer.append):
        with pytest.raises(KeyError), recording(inner.append):
            raise KeyError
        with recording(inner.append), pytest.raises(NotApplicable):
            assert_induction(gpt2(), n=60)
        with pytest.raises(NotApplicable):
            assert_induction(gpt2(), n=61)
    with pytest.raises(NotApplicable):
        assert_induction(gpt2(), n=62)
    assert (len(outer), len(inner)) == (2, 1)


def test_progress_is_told_from_the_start_and_never_beyond_the_budget() -> None:
    calls: list[tuple[str, str, int, int]] = []
    with reporting(lambda *call: calls.append(call)), pytest.raises(InterpAssertionError):
        assert_induction(gpt2(), twins=2, budget=256)
    assert calls[0] == ("circuits/induction", "random-gpt2-0", 0, 256)
    assert all(0 <= done <= at_most for _, _, done, at_most in calls)
    assert any("random-weights twin 1" in check for check, _, _, _ in calls)
    report("after", "nobody", 0, 1)
    assert all(check != "after" for check, _, _, _ in calls)
