"""The report for reviewers, and the annotations: made of the results document, safe, never longer than they may be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from interp_assert.gates import decide_all
from interp_assert.records import Results
from interp_assert.reports.annotations import gate_annotations
from interp_assert.reports.markdown import BUDGET, results_markdown

RUN = {
    "versions": {"torch": "2.13", "numpy": None},
    "platform": "Linux",
    "seed": 3,
    "started": "2026-07-01T10:00:00+00:00",
    "seconds": 12.4,
    "notes": [],
    "git": {"commit": "abc", "changed": True},
}
LEVELS = {"pass": 0.01, "fail": 0.001, "control": 0.01}
HOSTILE = "\x1b[31m@someone <img src=x>|a\\|b`*_[x](javascript:1)``` ::error::x\n```\n# no"


def model(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "revision": None,
        "sha256": "ab" * 32,
        "architecture": "gpt2",
        "parameters": 392000,
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
        "changed": None,
    }


def check(name: str, model: str, verdict: str = "PASS", **more: Any) -> dict[str, Any]:
    entry = {
        "check": name,
        "model": model,
        "claim": "it copies",
        "verdict": verdict,
        "claim_verdict": verdict,
        "estimate": 0.9,
        "interval": [0.8, None],
        "n": 34,
        "threshold": 0.5,
        "direction": "higher",
        "levels": LEVELS,
        "details": {"quantity": "accuracy"},
        "controls": [],
        "reason": "" if verdict == "PASS" else f"the reason of {name}",
        "nodeid": f"g.interp.yaml::{name}[{model}]",
        "forward_passes": 1,
        "tokens": 1,
        "seconds": 1.0,
    }
    return {**entry, **more}


def gate(name: str, *checks: dict[str, Any]) -> dict[str, Any]:
    """A gate that claims what these checks decide."""
    claims = [
        {
            "model": one["model"],
            "check": one["check"],
            "advisory": False,
            "waiver": None,
            "floor": None,
            "site": None,
            "levels": LEVELS,
        }
        for one in checks
    ]
    tests = [
        {
            "nodeid": one["nodeid"],
            "model": one["model"],
            "check": one["check"],
            "outcome": "passed" if one["verdict"] == "PASS" else "failed",
            "message": "",
            "asked": [],
        }
        for one in checks
    ]
    names = dict.fromkeys(one["model"] for one in checks)
    models = [{"model": name, "sha256": None, "line": 4 + place} for place, name in enumerate(names)]
    return {
        "name": name,
        "file": f"{name}.interp.yaml",
        "node": f"{name}.interp.yaml",
        "problem": "",
        "false_alarms": None,
        "models": models,
        "claims": claims,
        "tests": tests,
    }


def results(checks: list[dict[str, Any]], gates: tuple[dict[str, Any], ...] = (), **run: Any) -> Results:
    models = tuple(model(name) for name in dict.fromkeys(one["model"] for one in checks))
    return Results({**RUN, **run}, models, tuple(checks), gates=gates)


class TestWhatItSays:
    def test_a_gate_comes_first_with_its_verdict_and_why(self) -> None:
        checks = [check("a/b", "zoo:x"), check("c/d", "zoo:x", "FAIL")]
        shown = results_markdown(results(checks, (gate("release", *checks),)))
        assert shown.startswith("# BLOCK\n\n`gate release (release.interp.yaml): BLOCK: zoo:x (c/d)`\n")
        assert "## Gate `release`" in shown
        assert "1 of 2 required claims shown to hold" in shown

    def test_of_several_gates_the_worst_comes_first(self) -> None:
        good, bad = check("a/b", "zoo:x"), check("c/d", "zoo:x", "FAIL")
        shown = results_markdown(results([good, bad], (gate("a", good), gate("open"), gate("b", bad))))
        assert [line for line in shown.splitlines() if line.startswith("# ")] == [
            "# BLOCK",
            "# INCOMPLETE",
            "# RELEASE",
        ]
        assert [line for line in shown.splitlines() if line.startswith("## Gate")] == [
            "## Gate `b`",
            "## Gate `open`",
            "## Gate `a`",
        ]

    def test_without_a_gate_the_counts_come_first(self) -> None:
        shown = results_markdown(results([check("a/b", "m"), check("c/d", "m", "FAIL"), check("e/f", "m", "FAIL")]))
        assert shown.startswith("# interp-assert\n\n2 FAIL, 1 PASS\n")
        assert results_markdown(results([])).startswith("# interp-assert\n\nNo claim was decided.\n")

    def test_every_verdict_has_a_row_the_worst_first(self) -> None:
        shown = results_markdown(results([check("a/b", "m"), check("c/d", "m", "FAIL", estimate=None, interval=None)]))
        rows = [line for line in shown.splitlines() if line.startswith("| `")]
        assert rows == [
            "| `m` | `c/d` | FAIL | - |  | 0.500 | 34 |",
            "| `m` | `a/b` | PASS | 0.900 | 0.800 to - | 0.500 | 34 |",
        ]

    def test_steps_baselines_and_provenance(self) -> None:
        checks = [check("a/b", "m@1", "FAIL"), check("a/b", "m@2")]
        shown = results_markdown(results(checks))
        assert "## `m` over 2 steps" in shown
        assert "a/b first holds at step 2, not yet at step 1." in shown
        assert "commit abc and changes on top of it" in shown
        assert "numpy" not in shown
        assert "Against the baselines" not in shown

    def test_notes_of_the_run_stand_on_top(self) -> None:
        shown = results_markdown(results([], notes=["nothing was decided"]))
        assert shown.splitlines()[4] == "`nothing was decided`"


class TestWhatComesFromOutside:
    @pytest.fixture
    def shown(self) -> str:
        checks = [check(f"{HOSTILE}/b", HOSTILE, "FAIL", reason=HOSTILE, claim=HOSTILE), check("a/b", "m@1")]
        return results_markdown(results(checks, (gate("g", *checks), gate("h")), notes=[HOSTILE], platform=HOSTILE))

    def test_it_stands_in_code_only(self, shown: str) -> None:
        """What is left when code is taken out is what this project wrote itself."""
        fences = [line for line in shown.splitlines() if line.startswith("```")]
        assert fences == ["```text", "```"] * (len(fences) // 2)
        left = re.sub(r"`[^`\n]*`", "", re.sub(r"^```text\n.*?^```$", "", shown, flags=re.DOTALL | re.MULTILINE))
        assert not re.search(r"someone|<|\]\(|javascript|# no", left)

    def test_it_breaks_no_table_and_holds_no_command(self, shown: str) -> None:
        rows = [line for line in shown.splitlines() if line.startswith("| ")]
        assert {row.count("|") for row in rows} == {8}
        assert any("a\\\\x7cb" in row for row in rows)
        assert "\x1b" not in shown
        assert not any(line.startswith("::") for line in shown.splitlines())


def large() -> Results:
    """More than a thousand verdicts with long names."""
    checks = [check(f"ä{number}/b" * 3, f"zoo:ü{number % 7}", "FAIL") for number in range(1500)]
    return results(checks, (gate("release", *checks[:40]),))


LARGE = large()


class TestTheBudget:
    @pytest.mark.parametrize("budget", [1000, 1500, 5000, 20_001, BUDGET])
    def test_it_is_never_exceeded_and_what_is_cut_is_counted(self, budget: int) -> None:
        shown = results_markdown(LARGE, budget)
        assert len(shown.encode()) <= budget
        assert shown.startswith("# BLOCK\n")
        assert re.search(r"\n\d+ lines more are in the results file \(`--interp-json`\)\.\n$", shown)
        assert shown.count("```") % 2 == 0

    def test_rows_are_cut_whole_and_every_one_is_counted(self) -> None:
        whole = results_markdown(LARGE, 10_000_000)
        shown = results_markdown(LARGE, 20_001)
        *lines, last = shown.splitlines()
        assert set(lines) <= set(whole.splitlines())
        content = [line for line in whole.splitlines() if line.startswith(("| `", "FAIL", "BLOCK", "    "))]
        left = [line for line in content if line not in set(lines)]
        assert int(last.split()[0]) >= len(left) > 2000

    def test_nothing_is_cut_where_all_has_room(self) -> None:
        assert "lines more" not in results_markdown(results([check("a/b", "m")]))

    def test_a_budget_that_holds_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="1,000 at least"):
            results_markdown(results([]), 999)


class TestAnnotations:
    def stopped(self, count: int) -> list[str]:
        checks = [check("a/b", "m", "FAIL"), check("c/d", "n")]
        gates = [gate(f"g{number}", checks[0]) for number in range(count)]
        return gate_annotations(decide_all(results(checks, (*gates, gate("good", checks[1])))))

    def test_one_for_each_gate_that_does_not_release(self) -> None:
        assert self.stopped(0) == []
        [line] = self.stopped(1)
        assert line == "::error file=g0.interp.yaml,line=4,title=BLOCK g0::gate g0 (g0.interp.yaml): BLOCK: m (a/b)"

    @pytest.mark.parametrize(("count", "shown"), [(10, 10), (11, 10), (30, 10)])
    def test_no_more_than_github_shows(self, count: int, shown: int) -> None:
        lines = self.stopped(count)
        assert len(lines) == shown
        assert (f"{count - 9} more gates do not release: g9" in lines[-1]) is (count > 10)

    def test_nothing_from_outside_ends_the_command_or_begins_another(self) -> None:
        entry = {
            **gate("g", check("a/b", "m", "FAIL")),
            "file": "a,b::c\n::error::%0A",
            "problem": "x\r\n::error::y%0A",
        }
        [line] = gate_annotations(decide_all(results([], (entry,))))
        assert not set("\r\n") & set(line)
        command, message = line.split("::", 2)[1:]
        assert command == "error file=a%2Cb%3A%3Ac %3A%3Aerror%3A%3A%250A,line=4,title=INCOMPLETE g"
        assert "%250A" in message
