"""What CI holds against the cards: verdicts that differ, are missing or were never promised are each a complaint."""

from __future__ import annotations

import pytest
from promised import broken, promises

from interp_fixtures.zoo import names

PROMISED = {"zoo:a": {"lens/crossover": "PASS"}, "zoo:b": {"lens/crossover": "FAIL"}, "zoo:c": {}}


def results(**verdicts):
    return {
        "run": {"options": {"model": ["zoo:all"], "suites": "lens"}},
        "checks": [
            {"model": f"zoo:{name}", "check": "lens/crossover", "verdict": verdict}
            for name, verdict in verdicts.items()
        ],
    }


def test_a_run_that_says_what_the_cards_say():
    assert broken(results(a="PASS", b="FAIL", c="NOT_APPLICABLE"), PROMISED) == []


@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        ({"a": "PASS", "b": "PASS"}, "zoo:b: the card promises lens/crossover FAIL, the run says PASS"),
        ({"a": "INCONCLUSIVE", "b": "FAIL"}, "zoo:a: the card promises lens/crossover PASS, the run says INCONCLUSIVE"),
        ({"b": "FAIL"}, "zoo:a: the card promises lens/crossover PASS, the run says nothing"),
        (
            {"a": "PASS", "b": "FAIL", "c": "PASS"},
            "zoo:c: the card promises lens/crossover no verdict, the run says PASS",
        ),
    ],
)
def test_what_differs_is_a_complaint(run, complaint):
    assert broken(results(**run), PROMISED) == [complaint]


def test_only_what_the_run_was_asked_for_is_held_against_the_cards():
    promised = {"zoo:a": {"lens/crossover": "PASS", "probes/truth": "PASS"}, "zoo:b": {"lens/crossover": "FAIL"}}
    assert broken(results(a="PASS", b="FAIL"), promised) == []
    run = results(a="PASS")
    run["run"]["options"] = {"model": ["zoo:a"], "suites": "lens,probes"}
    assert broken(run, promised) == ["zoo:a: the card promises probes/truth PASS, the run says nothing"]


def test_every_claim_passes_on_every_kind_of_model_and_fails_or_stays_open_on_the_untrained_one():
    """Attention, a state space, both, a recurrence."""
    kinds = ("gpt2", "mamba", "zamba2", "rwkv")
    for check in ("coders/variance_explained", "probes/truth"):
        assert {promises()[f"zoo:{name}"][check] for name in kinds} == {"PASS"}
        assert promises()["zoo:random"][check] == "FAIL"
    assert promises()["zoo:gpt2-tuned"]["drift/claims"] == "PASS"
    assert promises()["zoo:gpt2-tuned-forgot"]["drift/claims"] == "FAIL"


def test_every_model_promises_something_but_the_untrained_one():
    assert {name for name in names() if not promises()[f"zoo:{name}"]} <= {"random"}
