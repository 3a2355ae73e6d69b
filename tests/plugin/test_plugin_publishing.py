"""Reports for machines and reviewers: written at the end of a run, made of its results file alone."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from records.schema import departures

from interp_assert.records import read_results
from interp_assert.reports.markdown import results_markdown

Decisions = Callable[..., None]

MODELS = "--interp-model=zoo:alpha,tuned=zoo:beta"
RUN = (MODELS, "--interp-suites=toy", "--interp-json=r.json")
GATE = """claims:
  toy/claim: {floor: 0.5}
suites: []
models:
  - zoo:alpha
  - zoo:beta
"""


@pytest.fixture(autouse=True)
def once() -> None:
    """What cannot be imported twice in one process."""
    importlib.import_module("interp_assert.reports.markdown")


@pytest.fixture
def summary(toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which GitHub looks for the summary of a step."""
    path = toy.path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def properties(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Of each test case, and under "" of the whole suite."""
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite is not None
    named = [("", suite), *((case.attrib["name"], case) for case in suite.findall("testcase"))]
    return {
        name: [(one.attrib["name"], one.attrib["value"]) for one in node.findall("properties/property")]
        for name, node in named
    }


class TestMarkdown:
    def test_is_made_of_the_results_file_alone(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        decisions(tuned="FAIL")
        result = toy.runpytest(*RUN, "--interp-markdown=out/report.md")
        result.stdout.fnmatch_lines(["interp: report written to */out/report.md"])
        written = (toy.path / "out" / "report.md").read_text(encoding="utf-8")
        assert written == results_markdown(read_results(toy.path / "r.json"))
        assert written.startswith("# interp-assert\n\n2 FAIL, 2 PASS\n")

    def test_needs_no_results_file(self, toy: pytest.Pytester) -> None:
        toy.runpytest(MODELS, "--interp-suites=toy", "--interp-markdown=r.md").assert_outcomes(passed=4)
        assert sorted(path.name for path in toy.path.glob("r.*")) == ["r.md"]

    def test_a_place_that_cannot_be_written_is_refused_at_once(self, toy: pytest.Pytester) -> None:
        result = toy.runpytest(*RUN, "--interp-markdown=stand_in.py/r.md")
        assert result.ret == 4
        result.stderr.fnmatch_lines(["ERROR: --interp-markdown=*stand_in.py/r.md: cannot write there: *"])
        assert not (toy.path / "loads.txt").exists()

    def test_one_file_cannot_hold_two_reports(self, toy: pytest.Pytester) -> None:
        result = toy.runpytest(*RUN, "--interp-markdown=./r.json")
        assert result.ret == 4
        result.stderr.fnmatch_lines(["ERROR: --interp-markdown=*r.json: the results go to this file; name another"])

    def test_a_disk_that_is_full_fails_the_run_and_leaves_the_old_one(
        self, toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (toy.path / "r.md").write_text("the last run's")

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        result = toy.runpytest(MODELS, "--interp-suites=toy", "--interp-markdown=r.md")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["interp: the report could not be written to */r.md: No space left on device"])
        assert (toy.path / "r.md").read_text() == "the last run's"
        assert not list(toy.path.glob(".r.md*"))

    def test_a_run_that_is_broken_off_leaves_the_old_one(self, toy: pytest.Pytester) -> None:
        (toy.path / "r.md").write_text("the last run's")
        toy.makepyfile(test_mine="import pytest\ndef test_mine(interp_model): pytest.exit('enough')")
        result = toy.runpytest(*RUN, "test_mine.py", "--interp-markdown=r.md")
        result.stdout.fnmatch_lines(["interp: no report was written to */r.md, as there are no results"])
        assert (toy.path / "r.md").read_text() == "the last run's"


class TestTheSummaryOfAStep:
    def test_is_written_where_github_looks_for_it(self, toy: pytest.Pytester, summary: Path) -> None:
        summary.write_text("what an earlier command said\n")
        toy.runpytest(*RUN)
        assert summary.read_text() == "what an earlier command said\n\n" + results_markdown(
            read_results(toy.path / "r.json")
        )

    def test_is_left_alone_by_runs_without_a_model(self, toy: pytest.Pytester, summary: Path) -> None:
        toy.makepyfile(test_plain="def test_plain(): pass")
        toy.runpytest("test_plain.py").assert_outcomes(passed=1)
        toy.runpytest(*RUN, "--collect-only")
        assert not summary.exists()

    @pytest.mark.parametrize(("left", "said"), [(2000, "lines more are in"), (900, None)])
    def test_never_grows_beyond_what_github_takes(
        self, toy: pytest.Pytester, summary: Path, left: int, said: str | None
    ) -> None:
        before = "x" * (2**20 - left)
        summary.write_text(before)
        toy.makepyfile(
            test_mine="""
            import pytest
            from stand_in import decide
            @pytest.mark.parametrize("number", range(20))
            def test_mine(interp_model, interp_settings, number):
                decide(interp_model, f"toy/{number}", None, interp_settings)
            """
        )
        result = toy.runpytest(*RUN, "test_mine.py")
        added = summary.read_text().removeprefix(before)
        assert summary.stat().st_size <= 2**20
        if said is None:
            assert added == ""
            result.stdout.fnmatch_lines(["interp: the summary of this step is full; nothing was added to it"])
        else:
            assert said in added

    def test_that_cannot_be_written_changes_nothing_else(self, toy: pytest.Pytester, summary: Path) -> None:
        summary.mkdir()
        result = toy.runpytest(*RUN)
        assert result.ret == 0
        result.stdout.fnmatch_lines(["interp: the summary of this step cannot be written: Is a directory"])


class TestAnnotations:
    @pytest.fixture
    def blocked(self, toy: pytest.Pytester, decisions: Decisions, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
        """Two gates, of which one stops the second of its models, run in a folder of the repository."""
        decisions(**{"zoo:beta": "FAIL"})
        (toy.path / "release.interp.yaml").write_text(GATE)
        (toy.path / "good.interp.yaml").write_text(GATE.replace("  - zoo:beta\n", ""))

        def run() -> list[str]:
            result = toy.runpytest("release.interp.yaml", "good.interp.yaml")
            return [line for line in result.outlines if line.startswith("::")]

        monkeypatch.setenv("GITHUB_WORKSPACE", str(toy.path.parent))
        return run

    def test_one_for_each_gate_that_stops(
        self, blocked: Callable[[], Any], toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert blocked() == []
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        [line] = blocked()
        file = f"{toy.path.name}/release.interp.yaml"
        assert line.startswith(f"::error file={file},line=6,title=BLOCK release::gate release (release.interp.yaml): ")

    def test_a_file_that_cannot_be_used_is_shown_at_the_line(
        self, toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        (toy.path / "release.interp.yaml").write_text(GATE.replace("suites", "siutes"))
        result = toy.runpytest("release.interp.yaml")
        result.stdout.fnmatch_lines(["::error file=release.interp.yaml,line=3,title=INCOMPLETE release::*"])


class TestJUnit:
    @pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "xdist"])
    def test_every_case_says_what_the_results_file_says(
        self, toy: pytest.Pytester, decisions: Decisions, workers: tuple[str, ...]
    ) -> None:
        decisions(**{"tuned toy/claim": "FAIL", "zoo:alpha toy/other": "INCONCLUSIVE"})
        toy.runpytest(*RUN, "--junit-xml=j.xml", *workers)
        told = properties(toy.path / "j.xml")
        results = read_results(toy.path / "r.json")
        assert len(results.checks) == 4
        for check in results.checks:
            case = told[check["nodeid"].partition("::toy::")[2]]
            name = f"interp.{check['check']}"
            assert dict(case)[f"{name}.verdict"] == check["verdict"]
            assert dict(case)[f"{name}.model"] == check["model"]
            for key in ("estimate", "interval", "threshold", "n", "levels"):
                assert json.loads(dict(case)[f"{name}.{key}"]) == check[key]
            assert len(case) == len(dict(case)) == 8
        suite = dict(told[""])
        assert suite["interp.model.zoo:alpha"] == results.models[0]["sha256"]
        assert (suite["interp.seed"], suite["interp.budget"]) == ("0", "standard")

    def test_the_suite_says_what_the_gates_say(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        decisions(**{"zoo:beta": "FAIL"})
        (toy.path / "release.interp.yaml").write_text(GATE)
        toy.runpytest("release.interp.yaml", "--junit-xml=j.xml")
        said = dict(properties(toy.path / "j.xml")[""])["interp.gate.release"]
        assert said == "gate release (release.interp.yaml): BLOCK: zoo:beta (toy/claim)"


def test_what_runs_write_follows_the_published_schema(toy: pytest.Pytester, decisions: Decisions) -> None:
    decisions(**{"zoo:beta": "FAIL", "zoo:alpha toy/other": "INCONCLUSIVE"})
    (toy.path / "release.interp.yaml").write_text(GATE)
    for arguments in (RUN, (*RUN, "--interp-baseline=new"), RUN, ("release.interp.yaml", "--interp-json=r.json")):
        toy.runpytest(*arguments)
        document = json.loads((toy.path / "r.json").read_text())
        assert departures(document) == []
    assert set(document) == {"schema", "run", "models", "checks", "baselines", "gates"}
