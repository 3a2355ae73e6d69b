"""The results file: what stands in it, when it is written and when it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from interp_assert.records import Results, read_results

Decisions = Callable[..., None]

RUN = ("--interp-model=zoo:alpha,tuned=zoo:beta", "--interp-suites=toy", "--interp-json=out/results.json")


def left_over(path: Path) -> list[str]:
    return sorted(entry.name for entry in (path / "out").iterdir()) if (path / "out").exists() else []


class TestWhatStandsInIt:
    @pytest.fixture
    def results(self, toy: pytest.Pytester, decisions: Decisions) -> Results:
        decisions(tuned="FAIL")
        toy.makepyfile(test_mine="def test_error(interp_model): raise OSError('disk \\x1b[31m\\nfull')")
        result = toy.runpytest(*RUN, "test_mine.py", "--interp-seed=4", "--interp-floor=toy/claim=0.5")
        result.stdout.fnmatch_lines(["interp: results written to */out/results.json"])
        assert left_over(toy.path) == ["results.json"]
        return read_results(toy.path / "out" / "results.json")

    def test_provenance_models_and_every_verdict(self, results: Results) -> None:
        run = results.run
        assert (run["seed"], run["options"]["seed"], run["option_sources"]["seed"]) == (4, 4, "--interp-seed")
        assert run["options"]["floor"] == ["toy/claim=0.5"]
        assert run["versions"]["torch"]
        assert run["tests"] == {"passed": 2, "failed": 4, "skipped": 0, "inconclusive": 0, "error": 0}
        assert [error["message"] for error in run["errors"]] == ["disk \\x1b[31m"] * 2
        assert run["complete"]
        assert [model["id"] for model in results.models] == ["zoo:alpha", "tuned"]
        assert results.models[0]["parameters"] == 3412992
        assert results.models[0]["changed"] is None
        checks = [(check["check"], check["model"], check["verdict"], check["nodeid"]) for check in results.checks]
        assert checks == [
            ("toy/claim", "zoo:alpha", "PASS", "interp::toy::test_claim[zoo:alpha]"),
            ("toy/other", "zoo:alpha", "PASS", "interp::toy::test_other[zoo:alpha]"),
            ("toy/claim", "tuned", "FAIL", "interp::toy::test_claim[tuned]"),
            ("toy/other", "tuned", "FAIL", "interp::toy::test_other[tuned]"),
        ]
        first = results.checks[0]
        assert (first["threshold"], first["interval"], first["n"]) == (0.5, [0.9, None], 512)
        assert (first["forward_passes"], first["tokens"], first["seconds"]) == (7, 280, 0.25)
        assert [control["verdict"] for control in first["controls"]] == ["PASS"]

    def test_where_the_weights_are(self, toy: pytest.Pytester) -> None:
        said = "interp: zoo:alpha is spread: 25% on cpu, 75% on disk of its parameters"
        plain = toy.runpytest(*RUN)
        plain.stdout.no_fnmatch_line("*is spread*")
        result = toy.runpytest(*RUN, "--interp-device=auto")
        result.stdout.fnmatch_lines([said])
        places = [model["weights_at"] for model in read_results(toy.path / "out" / "results.json").models]
        assert places == [{"cpu": 853248, "disk": 2559744}] * 2


class TestWhenItIsNotWritten:
    @pytest.mark.parametrize(
        ("breaking", "status"),
        [
            ("def pytest_runtest_teardown(): raise KeyboardInterrupt", pytest.ExitCode.INTERRUPTED),
            ("def pytest_runtest_logfinish(): raise RuntimeError('hook')", pytest.ExitCode.INTERNAL_ERROR),
            ("def pytest_collection_finish(): raise pytest.UsageError('no')", pytest.ExitCode.USAGE_ERROR),
        ],
    )
    def test_a_run_that_is_broken_off_leaves_nothing_new(
        self, toy: pytest.Pytester, breaking: str, status: pytest.ExitCode
    ) -> None:
        (toy.path / "out").mkdir()
        (toy.path / "out" / "results.json").write_text("the last run's")
        toy.makeconftest(f"from stand_in import *\n{breaking}")
        # pytester passes an interruption of an inner run on to the outer one, unless they are two processes.
        run = toy.runpytest_subprocess if status is pytest.ExitCode.INTERRUPTED else toy.runpytest
        result = run(*RUN)
        assert result.ret == status
        if status is pytest.ExitCode.INTERRUPTED:
            result.stdout.fnmatch_lines(["interp: no results were written to */out/results.json: the run was broken*"])
        assert left_over(toy.path) == ["results.json"]
        assert (toy.path / "out" / "results.json").read_text() == "the last run's"

    def test_collect_only_writes_nothing(self, toy: pytest.Pytester) -> None:
        assert toy.runpytest(*RUN, "--collect-only").ret == 0
        assert left_over(toy.path) == []

    def test_a_model_that_cannot_be_opened_leaves_no_folder_behind(self, toy: pytest.Pytester) -> None:
        result = toy.runpytest("--interp-model=zoo:missing", "--interp-json=new/results.json")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert toy.runpytest("--interp-model=zoo:a", "--interp-json=new/results.json", "--collect-only").ret == 0
        assert not (toy.path / "new").exists()

    def test_a_target_that_goes_away_fails_the_run(self, toy: pytest.Pytester) -> None:
        toy.makeconftest("from stand_in import *\nimport shutil\ndef pytest_collection_finish(): shutil.rmtree('out')")
        result = toy.runpytest(*RUN)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["interp: the results could not be written to */out/results.json: No such file*"])

    def test_a_run_that_stops_early_says_that_it_is_not_complete(
        self, toy: pytest.Pytester, decisions: Decisions
    ) -> None:
        decisions(**{"zoo:alpha": "FAIL"})
        toy.runpytest(*RUN, "-x")
        results = read_results(toy.path / "out" / "results.json")
        assert not results.run["complete"]
        assert len(results.checks) == 1
