"""``--interp-history``: every run is appended once, by the controller, or the run fails and says why."""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from known_runs import Known

Decisions = Callable[..., None]

RUN = ("--interp-model=zoo:alpha,zoo:beta", "--interp-suites=toy")
HISTORY = "--interp-history=out/h.sqlite"


@pytest.fixture(autouse=True)
def once() -> None:
    """What cannot be imported twice in one process."""
    for name in ("sqlalchemy.dialects.sqlite", "interp_assert.records.history.tables"):
        importlib.import_module(name)


def counted(path: Path, table: str = "interp_verdicts") -> int:
    with sqlite3.connect(path / "out" / "h.sqlite") as connection:
        count = connection.execute(f"select count(*) from {table}").fetchone()[0]
    connection.close()
    return int(count)


class TestAppending:
    def test_every_verdict_is_appended_once(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        decisions(**{"zoo:beta": "FAIL"})
        for new, known in ((4, 0), (0, 4)):
            result = toy.runpytest(*RUN, HISTORY)
            result.stdout.fnmatch_lines([f"interp: {new} new and {known} known verdicts in the history */out/h.sqlite"])
        assert (counted(toy.path), counted(toy.path, "interp_runs")) == (4, 2)

    def test_what_comes_out_of_the_cache_is_the_same_verdict(self, known: Known) -> None:
        known.say(**{"zoo:alpha": {"weights": "a", "scores": [1.0, 0.9]}, "tuned": {"weights": "b", "scores": [0.0]}})
        for new, kept in ((2, 0), (0, 2)):
            run = known.run(HISTORY)
            run.stdout.fnmatch_lines([f"interp: {new} new and {kept} known verdicts in the history *"])
        assert known.results.run["remembered"]["claims"] == 2

    def test_workers_hand_over_what_they_measured(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        decisions(**{"org/m@step1": "FAIL"})
        result = toy.runpytest("--interp-model=org/m@step1,@step2", "--interp-suites=toy", HISTORY, "-n2")
        result.stdout.fnmatch_lines(
            [
                "toy/claim first holds at step step2, not yet at step step1.",
                "interp: 4 new and 0 known verdicts in the history *",
            ]
        )
        with sqlite3.connect(toy.path / "out" / "h.sqlite") as connection:
            measured = connection.execute("select name, n from interp_measurements").fetchall()
        connection.close()
        assert measured == [("toy/score", 3)] * 4

    def test_the_whole_budget_is_measured_only_for_it(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(
            test_mine="""
            def test_mine(interp_model, request):
                from interp_fixtures.settings import settings_of
                assert settings_of(request.config).whole_budget
            """
        )
        toy.runpytest("--interp-model=zoo:alpha", "test_mine.py").assert_outcomes(failed=1)
        toy.runpytest("--interp-model=zoo:alpha", "test_mine.py", HISTORY).assert_outcomes(passed=1)

    def test_the_results_file_is_the_same_with_it(self, toy: pytest.Pytester) -> None:
        import json

        def checks(*more: str) -> object:
            toy.runpytest(*RUN, "--interp-json=r.json", *more)
            return json.loads((toy.path / "r.json").read_text())["checks"]

        assert checks() == checks(HISTORY)

    def test_from_the_ini_file_and_for_tests_of_the_users_own(self, toy: pytest.Pytester) -> None:
        toy.makeini("[pytest]\ninterp_history = out/h.sqlite\n")
        toy.makepyfile(test_plain="def test_plain(): pass")
        toy.runpytest("test_plain.py").assert_outcomes(passed=1)
        assert not (toy.path / "out").exists()
        toy.makepyfile(
            test_mine="""
            from stand_in import decide
            def test_mine(interp_model, interp_settings): decide(interp_model, "mine/claim", None, interp_settings)
            """
        )
        toy.runpytest("test_mine.py").stdout.fnmatch_lines(["interp: 1 new and 0 known verdicts *"])


class TestWhenItCannotBeAppended:
    @pytest.mark.parametrize(
        ("url", "message"),
        [
            (
                "postgresql://me:secret@host/db",
                "--interp-history: postgresql://me:***@host/db: a history is a SQLite *",
            ),
            ("stand_in.py", "--interp-history: */stand_in.py: file is not a database: it is another kind of file*"),
            ("stand_in.py/h.sqlite", "--interp-history: */stand_in.py/h.sqlite: its folder cannot be made*"),
        ],
    )
    def test_it_is_said_before_anything_is_measured(self, toy: pytest.Pytester, url: str, message: str) -> None:
        result = toy.runpytest(*RUN, f"--interp-history={url}")
        assert result.ret == 4
        result.stderr.fnmatch_lines([f"ERROR: {message}"])
        assert not (toy.path / "loads.txt").exists()

    def test_what_goes_wrong_later_fails_the_run(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(
            test_mine="""
            from pathlib import Path
            def test_mine(interp_model): Path("out/h.sqlite").write_text("no database at all" * 100)
            """
        )
        result = toy.runpytest("--interp-model=zoo:alpha", "test_mine.py", HISTORY)
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            ["interp: the run could not be appended to the history */h.sqlite: *not a database*"]
        )

    def test_a_run_that_is_broken_off_leaves_no_trace(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(test_mine="import pytest\ndef test_mine(interp_model): pytest.exit('enough')")
        result = toy.runpytest(*RUN, HISTORY, "test_mine.py")
        result.stdout.fnmatch_lines(["interp: nothing was appended to the history: the run was broken off *"])
        assert counted(toy.path, "interp_runs") == 0

    def test_collecting_only_opens_none(self, toy: pytest.Pytester) -> None:
        toy.runpytest(*RUN, HISTORY, "--collect-only")
        assert not (toy.path / "out").exists()


def test_a_history_without_a_test_that_uses_a_model_is_a_usage_error(toy: pytest.Pytester) -> None:
    toy.makepyfile(test_plain="def test_plain(): pass")
    result = toy.runpytest("test_plain.py", HISTORY)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --interp-history=out/h.sqlite, but no test that was collected uses a model*"])


class TestCheckpoints:
    """Claims over the steps of a training, at the end of the run."""

    def test_a_folder_is_one_test_per_step_and_a_table(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        for step in (1000, 64, 512):
            toy.mkdir(f"checkpoint-{step}")
        decisions(**{"mine@64": "FAIL", "mine@512 toy/claim": "FAIL"})
        result = toy.runpytest("--interp-model=mine=.", "--interp-suites=toy", "-q")
        result.assert_outcomes(passed=3, failed=3)
        result.stdout.fnmatch_lines(
            [
                "*= interp: mine over 3 steps =*",
                "*step  toy/claim    toy/other*",
                "*  64  FAIL 0.981   FAIL 0.981*",
                "* 512  FAIL 0.981   PASS 0.981*",
                "*1000  PASS 0.981   PASS 0.981*",
                "toy/claim first holds at step 1000, not yet at step 512.",
                "toy/other first holds at step 512, not yet at step 64.",
                "For each claim some step is wrongly said to hold with probability at most 0.02, *",
            ]
        )

    def test_a_step_that_was_not_reached_is_not_counted(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        decisions(**{"zoo:a@1": "FAIL"})
        result = toy.runpytest("--interp-model=zoo:a@1,@2,@3", "--interp-suites=toy", "-k", "not (test_claim and 2)")
        result.stdout.fnmatch_lines(
            ["toy/claim first holds at step 3 at the latest, not yet at step 1; the rest: 2 not asked."]
        )

    def test_single_models_have_no_such_table(self, toy: pytest.Pytester) -> None:
        toy.runpytest(*RUN).stdout.no_fnmatch_line("*over * steps*")
