"""The profile table and the list of what did not pass, from the results document alone."""

from __future__ import annotations

from typing import Any

import pytest

from interp_assert.records import Results
from interp_assert.reports import not_passed, profile_table, traps

RUN = {"versions": {}, "platform": "", "seed": 0, "started": "", "seconds": 1.0}


def check(name: str, model: str = "zoo:a", verdict: str = "PASS", **more: Any) -> dict[str, Any]:
    entry = {
        "check": name,
        "model": model,
        "verdict": verdict,
        "estimate": 0.975,
        "interval": [0.9, 1.0],
        "n": 64,
        "threshold": 0.05,
        "details": {},
        "controls": [],
        "forward_passes": 1000,
        "tokens": 10,
        "seconds": 1.25,
    }
    return {**entry, **more}


def model(name: str, parameters: int) -> dict[str, Any]:
    return {
        "id": name,
        "revision": None,
        "sha256": "",
        "architecture": "gpt2",
        "parameters": parameters,
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
    }


def table(*checks: dict[str, Any], models: tuple[dict[str, Any], ...] = ()) -> list[list[str]]:
    """The cells below the header."""
    shown = profile_table(Results(RUN, models, checks))
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in shown.splitlines()[2:]]


DRIFT = {
    "output": {"total_variation": 0.0213, "kl": 0.01, "agreement": 0.97},
    "by_block": [
        {"block": "embed", "residual": 0.01, "weights": 0.1},
        {"block": 1, "residual": 0.25, "weights": 0.1},
        {"block": 2, "residual": 0.13, "weights": 0.1},
    ],
    "flipped": ["circuits/induction"],
}


class TestDrift:
    def test_has_a_column_if_anything_was_compared_and_the_base_has_no_row(self) -> None:
        run = {**RUN, "base": "zoo:base"}
        compared = [check("drift/claims", "zoo:a", "FAIL", details=DRIFT), check("lens/crossover", "zoo:b")]
        shown = profile_table(Results(run, (model("zoo:a", 5), model("zoo:b", 5), model("zoo:base", 5)), (*compared,)))
        header, _, first, second = shown.splitlines()
        assert "lens crossover  drift" in header
        assert "TV 0.021, residual 0.25 at block 1; flipped circuits/induction" in first
        assert second.startswith("zoo:b")
        assert "drift" not in profile_table(Results(RUN, (), (check("lens/crossover"),)))

    def test_a_base_that_is_under_test_keeps_its_row(self) -> None:
        run = {**RUN, "base": "zoo:a"}
        shown = profile_table(Results(run, (model("zoo:a", 5),), (check("lens/crossover", "zoo:a"),)))
        assert len(shown.splitlines()) == 3

    def test_what_could_not_be_compared(self) -> None:
        details = {"output": DRIFT["output"], "by_block": [], "flipped": []}
        assert "TV 0.021 " in profile_table(Results(RUN, (), (check("drift/output", details=details),)))
        other = check("drift/output", verdict="NOT_APPLICABLE", details={"by_text": {"difference": 0.0312}})
        assert " +0.031 nats per character " in profile_table(Results(RUN, (), (other,)))
        nothing = check("drift/output", verdict="NOT_APPLICABLE", details={"by_block": []})
        assert " n/a " in profile_table(Results(RUN, (), (nothing,)))


class TestProfileTable:
    def test_one_row_per_model(self) -> None:
        rows = table(
            check("circuits/induction", details={"accuracy": 0.981, "chance": 0.05}),
            check("lens/crossover", details={"median_block": 3, "n_blocks": 4}),
            check("circuits/induction", "zoo:b", "FAIL", details={"accuracy": 0.05, "chance": 0.05}),
            check(
                "lens/crossover", "zoo:b", "NOT_APPLICABLE", estimate=None, details={"median_block": 1, "n_blocks": 4}
            ),
            models=(model("zoo:a", 392_000), model("zoo:b", 7_241_732_096)),
        )
        assert rows == [
            ["zoo:a", "gpt2", "392 K", "0.981 (19.6x)", "block 3 of 4 (98%)", "2 PASS", "2,000", "2.5"],
            ["zoo:b", "gpt2", "7.24 B", "0.050 (1.0x)", "n/a", "1 FAIL, 1 n/a", "2,000", "2.5"],
        ]

    def test_what_was_not_measured_is_a_dash(self) -> None:
        assert table(check("mine/check", "zoo:c", "INCONCLUSIVE")) == [
            ["zoo:c", "-", "-", "-", "-", "1 INCONCLUSIVE", "1,000", "1.2"]
        ]
        crossover = check("lens/crossover", estimate=0.1, details={"median_block": None, "n_blocks": 4})
        assert table(crossover)[0][4] == "never for half (10%)"

    def test_no_verdict_no_table(self) -> None:
        assert profile_table(Results(RUN, (model("zoo:a", 1),), ())) == ""

    @pytest.mark.parametrize(
        ("number", "shown"), [(999, "999"), (1000, "1 K"), (3_412_992, "3.41 M"), (70_553_706_496, "70.6 B")]
    )
    def test_parameters_are_short(self, number: int, shown: str) -> None:
        assert table(check("mine/check"), models=(model("zoo:a", number),))[0][2] == shown


class TestWhatDidNotPass:
    def test_a_line_names_verdict_check_model_layer_numbers_and_reason(self) -> None:
        lines = not_passed(
            Results(
                RUN,
                (),
                (
                    check("mine/good"),
                    check("mine/bad", verdict="FAIL", layer="block 3", reason="the control does\nas well"),
                    check("mine/unknown", verdict="NOT_APPLICABLE", estimate=None, reason="no tokenizer"),
                ),
            )
        )
        assert lines == [
            "FAIL mine/bad on zoo:a at block 3: 0.975 against 0.05 (n = 64); the control does as well",
            "NOT_APPLICABLE mine/unknown on zoo:a; no tokenizer",
        ]


def test_traps_that_a_passed_claim_avoided_are_told() -> None:
    told = {"traps": ["its cache holds one row only: ..."]}
    results = Results(
        RUN, (), (check("anatomy/cache_stepping", details=told), check("anatomy/x", verdict="FAIL", details=told))
    )
    assert traps(results) == ["TRAP anatomy/cache_stepping on zoo:a: its cache holds one row only: ..."]
