"""Claims over the checkpoints of a training, from the results document alone."""

from __future__ import annotations

from typing import Any

import pytest

from interp_assert.records import Results, trainings
from interp_assert.reports import step_lines, step_table

RUN = {"versions": {}, "platform": "", "seed": 0, "started": "", "seconds": 1.0}
LEVELS = {"pass": 0.01, "fail": 0.001, "control": 0.01}
VERDICTS = {"P": "PASS", "F": "FAIL", "i": "INCONCLUSIVE", "n": "NOT_APPLICABLE"}


def check(name: str, model: str, letter: str, **more: Any) -> dict[str, Any]:
    verdict = VERDICTS[letter]
    entry = {
        "check": name,
        "model": model,
        "verdict": verdict,
        "estimate": None if letter == "n" else 0.975,
        "interval": None,
        "n": 64,
        "threshold": 0.05,
        "details": {},
        "levels": LEVELS,
        "controls": [],
        "forward_passes": 1,
        "tokens": 10,
        "seconds": 1.25,
        "nodeid": f"interp::{name.split('/')[0]}::test_it[{model}]",
    }
    return {**entry, **more}


def results(names: list[str], **claims: str) -> Results:
    """``claims`` map the name of a claim to a letter for each model, ``-`` for one that was not asked."""
    model = {"revision": None, "sha256": "", "architecture": "x", "parameters": 1, "dtype": "", "device": "cpu"}
    checks = [
        check(claim.replace("_", "/"), name, letter)
        for claim, letters in claims.items()
        for name, letter in zip(names, letters, strict=True)
        if letter != "-"
    ]
    return Results(RUN, tuple({**model, "id": name, "threads": 1} for name in names), tuple(checks))


NAMES = [f"zoo:a@{step}" for step in (100, 200, 400, 800)]


def lines(**claims: str) -> list[str]:
    [training] = trainings(results(NAMES, **claims))
    return step_lines(training)


@pytest.mark.parametrize(
    ("letters", "line"),
    [
        ("FFPP", "s/c first holds at step 400, not yet at step 200."),
        ("nFiP", "s/c first holds at step 800 at the latest, not yet at step 200; the rest: 400 INCONCLUSIVE."),
        ("F-PP", "s/c first holds at step 400 at the latest, not yet at step 100; the rest: 200 not asked."),
        ("PPFF", "s/c is lost at step 400, still holds at step 200."),
        ("PPPP", "s/c holds at every step."),
        ("FnFF", "s/c holds at no step."),
        ("nnnn", "s/c is not applicable at any step."),
        ("iiii", "s/c is shown neither to hold nor not to, at either end; the rest: *"),
        ("PiiP", "s/c holds up to step 100 and holds from step 800 on; the rest: 200 *, 400 INCONCLUSIVE."),
        (
            "FPPF",
            "s/c does not hold up to step 100 and does not hold from step 800 on; the rest: 200 PASS, 400 PASS "
            "(all 4 verdicts together err with probability at most 0.04).",
        ),
    ],
)
def test_each_claim_has_a_line(letters: str, line: str) -> None:
    shown = lines(s_c=letters)[0]
    begin, star, end = line.partition("*")
    assert shown == line if not star else shown.startswith(begin) and shown.endswith(end.rpartition("*")[2])


def test_the_last_line_says_what_the_others_risk() -> None:
    assert lines(s_c="FFPP")[-1] == (
        "For each claim some step is wrongly said to hold with probability at most 0.02, wrongly not to with at most "
        "0.002, however many steps there are."
    )
    controls = [
        {"name": "x", "verdict": "PASS", "estimate": 1, "interval": None, "n": 1, "threshold": 1, "details": {}}
    ]
    checks = tuple(check("s/c", name, "P", controls=[{**controls[0], "approximate": True}] * 2) for name in NAMES)
    [training] = trainings(Results(RUN, results(NAMES).models, checks))
    assert "at most 0.042, however many steps there are (comparisons with twins are approximate)" in " ".join(
        step_lines(training)
    )


def test_identities_have_no_error_levels() -> None:
    checks = tuple(check("s/c", name, "P", levels=None) for name in NAMES)
    [training] = trainings(Results(RUN, results(NAMES).models, checks))
    assert step_lines(training) == ["s/c holds at every step."]


def test_the_table_has_a_row_for_each_step_in_its_order() -> None:
    [training] = trainings(results(NAMES[::-1], s_c="PiF-", t_d="PPPn"))
    assert [line.split() for line in step_table(training).splitlines()[2:]] == [
        ["100", "-", "n/a"],
        ["200", "FAIL", "0.975", "PASS", "0.975"],
        ["400", "INCONCLUSIVE", "0.975", "PASS", "0.975"],
        ["800", "PASS", "0.975", "PASS", "0.975"],
    ]


def test_trainings_are_told_apart_and_single_models_left_out() -> None:
    names = ["zoo:a@1", "./run/checkpoint-5", "zoo:b", "zoo:a@2", "./run/checkpoint-10", "org/m@main"]
    found = trainings(results(names, s_c="PPPPPP"))
    assert [(training.name, training.steps) for training in found] == [("zoo:a", ("1", "2")), ("./run", ("5", "10"))]


def test_a_name_that_pytest_escapes_in_its_ids_is_still_one_training() -> None:
    names = [f"./my rün/checkpoint-{step}" for step in (1, 2)]
    checks = [check("s/c", name, "P", nodeid=f"a::b[{name.replace('ü', chr(92) + 'xfc')}]") for name in names]
    [training] = trainings(Results(RUN, results(names, s_c="PP").models, tuple(checks)))
    assert step_lines(training)[0] == "s/c holds at every step."


def test_claims_of_one_name_in_two_tests_stay_two() -> None:
    checks = [
        check("s/c", name, letter, nodeid=f"tests/test_mine.py::{test}[{name}]")
        for test, letters in (("test_short", "FFPP"), ("test_long", "FFFP"))
        for name, letter in zip(NAMES, letters, strict=True)
    ]
    [training] = trainings(Results(RUN, results(NAMES).models, tuple(checks)))
    assert [line.split(",")[0] for line in step_lines(training)[:2]] == [
        "s/c (test_short) first holds at step 400",
        "s/c (test_long) first holds at step 800",
    ]
