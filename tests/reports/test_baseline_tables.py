"""What the terminal shows of baselines and of the cache, from the results document alone."""

from __future__ import annotations

from typing import Any

import pytest

from interp_assert.errors import UsageProblem
from interp_assert.records import Results
from interp_assert.reports.baselines import baselines_table, not_compared, weights_lines
from interp_assert.reports.table import remembered

RUN = {"versions": {}, "platform": "", "seed": 0, "started": "", "seconds": 1.0}
OLD, NEW = ({"sha256": letter * 64, "revision": None, "dtype": "float32"} for letter in "ab")


def entry(key: str, model: str = "zoo:a", **more: Any) -> dict[str, Any]:
    usual = {
        "model": model, "check": key, "key": key, "nodeid": "", "status": "compared", "verdict": "PASS", "fails": False,
        "before": 0.98, "now": 0.97, "change": -0.01, "interval": [-0.02, 0.0], "limit": -0.05, "n": 512,
        "unit": "share", "direction": "higher", "approximate": False, "weights": {"before": OLD, "now": NEW},
        "reason": "",
    }  # fmt: skip
    return usual | more


def results(*entries: dict[str, Any], **run: Any) -> Results:
    return Results({**RUN, **run}, (), (), (), entries)


def rows(*entries: dict[str, Any]) -> list[list[str]]:
    lines = baselines_table(results(*entries)).splitlines()[2:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_the_worst_stands_first_and_models_stay_together() -> None:
    shown = rows(
        entry("a/pass"),
        entry("b/other", model="zoo:b", verdict="FAIL"),
        entry("c/open", verdict="INCONCLUSIVE"),
        entry("d/lost", verdict=None, status="lost", now=None, change=None, interval=None, limit=None, n=0),
        entry("e/fail", verdict="FAIL", approximate=True, interval=[None, -0.2]),
    )
    assert [(row[0], row[1], row[-1]) for row in shown] == [
        ("zoo:a", "e/fail", "FAIL"),
        ("zoo:a", "c/open", "INCONCLUSIVE"),
        ("zoo:a", "d/lost", "LOST"),
        ("zoo:a", "a/pass", "PASS"),
        ("zoo:b", "b/other", "FAIL"),
    ]
    assert shown[0][2:7] == ["0.980", "0.970", "-0.010 [-inf, -0.200] (approximate)", "-0.05", "512"]
    assert shown[2][2:7] == ["0.980", "-", "-", "-", "-"]
    assert baselines_table(results()) == ""


def test_what_was_not_compared_is_told_with_its_reason() -> None:
    found = not_compared(
        results(
            entry("a", reason="the same weights, the same values"),
            entry("b", verdict="FAIL", reason="it is worse"),
            entry("c", verdict=None, status="missing", reason="it has no baseline"),
            entry("d", verdict=None, status="incomparable", reason="another seed"),
            entry("e", verdict=None, status="updated"),
        )
    )
    assert found == [
        "FAIL b on zoo:a: it is worse",
        "no baseline c on zoo:a: it has no baseline",
        "not compared d on zoo:a: another seed",
    ]


def test_other_weights_are_recognised() -> None:
    same = {"before": NEW, "now": NEW}
    revision = {"before": {**OLD, "revision": "c" * 40}, "now": NEW}
    found = weights_lines(
        results(
            entry("a"),
            entry("b", weights=same),
            entry("a", model="zoo:b", weights=same),
            entry("a", model="zoo:c", weights={"before": None, "now": NEW}),
            entry("a", model="zoo:d", weights=revision),
        )
    )
    assert found == [
        f"zoo:a has other weights than its baseline: {'b' * 12} float32, before {'a' * 12} float32, {'b' * 12} float32",
        f"zoo:b has the weights of its baseline, {'b' * 12} float32",
        f"zoo:d has other weights than its baseline: {'b' * 12} float32, before {'a' * 12} ({'c' * 12}) float32",
    ]


@pytest.mark.parametrize(
    ("cache", "told"),
    [
        ({}, []),
        ({"claims": 0, "of": 3, "opened": ["zoo:a"]}, []),
        ({"claims": 1, "of": 1, "opened": []}, ["1 of 1 claim was measured before", "no forward pass made"]),
        ({"claims": 1, "of": 3, "opened": ["zoo:a"]}, ["1 of 3 claims were", "the others were measured now"]),
        ({"claims": 3, "of": 3, "opened": ["zoo:a"]}, ["3 of 3 claims were", "opened for other tests"]),
        ({"claims": 0, "of": 1, "distrusted": 1}, ["1 entry of the cache", "not used"]),
        ({"claims": 0, "of": 1, "not_kept": ["the disk is full"]}, ["not kept for the next run: the disk is full"]),
    ],
)
def test_what_was_remembered(cache: dict[str, Any], told: list[str]) -> None:
    lines = remembered(results(remembered=cache))
    assert len(lines) == bool(told)
    assert all(part in lines[0] for part in told)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"status": "better"}, "status"),
        ({"verdict": "GOOD"}, "verdict"),
        ({"n": "3"}, "n"),
        ({"interval": [1]}, "interval"),
    ],
)
def test_an_entry_that_does_not_follow_the_schema_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageProblem, match=rf"baselines\[0\].*{told}"):
        results(entry("a", **wrong))


def test_entries_come_back_from_the_document() -> None:
    made = results(entry("a"), entry("b"))
    assert Results.from_dict(made.as_dict()) == made
    assert "baselines" not in results().as_dict()
