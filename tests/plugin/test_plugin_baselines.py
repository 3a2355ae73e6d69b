"""Baselines in a run: compared in the test that reached the verdict, written by the controller at the end."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from known_runs import Known

HIGH = {"weights": "a", "scores": [1.0, 0.9]}
LOWER = {"weights": "b", "scores": [0.6, 0.5]}
"""well above the floor of the claim, and well below what it was"""


@pytest.fixture
def known(known: Known) -> Known:
    known.say(**{"zoo:alpha": HIGH, "tuned": HIGH})
    return known


def baseline(known: Known, name: str = "tuned") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((known.path / "interp-baselines" / f"{name}.json").read_text())
    return found


def files(known: Known) -> dict[str, bytes]:
    folder = known.path / "interp-baselines"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


KEPT: dict[str, bytes] = {}
"""what ``--interp-baseline=new`` made of the models at first, which is the same each time"""


def keep_high(known: Known) -> None:
    """Have baselines of both models as they are at first."""
    if not KEPT:
        known.run("--interp-baseline=new", status=0)
        KEPT.update(files(known))
    folder = known.path / "interp-baselines"
    folder.mkdir(exist_ok=True)
    for name, content in KEPT.items():
        (folder / name).write_bytes(content)


def told(known: Known) -> list[tuple[str, str, str | None]]:
    return [(entry["model"], entry["status"], entry["verdict"]) for entry in known.results.baselines]


class TestTheDefault:
    def test_without_the_folder_there_are_no_baselines(self, known: Known) -> None:
        known.run(status=0).stdout.no_fnmatch_line("*against the baseline*")
        assert files(known) == {}
        assert known.results.baselines == ()

    def test_with_the_folder_every_claim_is_compared(self, known: Known) -> None:
        known.run("--interp-baseline=new", status=0)
        before = files(known)
        assert sorted(before) == ["tuned.json", "zoo-alpha.json"]
        result = known.run(status=0)
        result.stdout.fnmatch_lines(
            [
                "*interp: against the baseline*",
                "zoo:alpha *known/score *0.950 *0.950 *+0.000 *-0.05 *512 *PASS",
                "zoo:alpha has the weights of its baseline, * float32",
            ]
        )
        assert told(known) == [("zoo:alpha", "compared", "PASS"), ("tuned", "compared", "PASS")]
        assert files(known) == before


class TestARegression:
    @pytest.fixture
    def known(self, known: Known) -> Known:
        keep_high(known)
        return known

    def test_it_is_blocked_although_its_claim_passes(self, known: Known) -> None:
        known.say(**{"zoo:alpha": HIGH, "tuned": LOWER})
        before = files(known)
        result = known.run()
        result.stdout.fnmatch_lines(
            [
                "known/score FAIL: change from the baseline -0.4* is not above -0.05 for tuned*",
                "  reason     it is worse than its baseline by more than 0.05",
                "  baseline   0.95 share, weights *",
                "  now        0.55 share, weights *",
                "FAIL known/score on tuned: it is worse than its baseline by more than 0.05",
                "tuned has other weights than its baseline: *",
                "FAILED interp::known::test_score?tuned? - known/score FAIL*",
            ]
        )
        assert [check["verdict"] for check in known.results.checks] == ["PASS", "PASS"]
        assert told(known) == [("zoo:alpha", "compared", "PASS"), ("tuned", "compared", "FAIL")]
        assert files(known) == before

    def test_a_rerun_says_the_same(self, known: Known) -> None:
        known.say(**{"zoo:alpha": HIGH, "tuned": LOWER})
        known.run()
        first = known.results.baselines
        known.passes()
        for arguments in ((), ("--lf",)):
            known.run(*arguments)
            assert known.passes() == []
            assert [entry for entry in first if entry in known.results.baselines][-1]["verdict"] == "FAIL"
        assert known.results.run["not_measured"] == {"zoo:alpha": ["known/score"]}  # it did not fail last time

    def test_a_skipped_claim_that_was_measured_before_is_lost(self, known: Known) -> None:
        known.pytester.makepyfile(
            known_suite="""
            from interp_assert.assertions.reasons import not_applicable
            from interp_assert.assertions.recording import conclude
            from interp_assert.stats import Cost

            def test_score(interp_model):
                conclude(not_applicable("known/score", interp_model, None, "c", "it has none", None, {}, Cost()))
            """
        )
        result = known.run()
        assert told(known) == [("zoo:alpha", "lost", None), ("tuned", "lost", None)]
        result.stdout.fnmatch_lines(["LOST known/score on tuned: it can no longer be measured *it has none*"])
        result.assert_outcomes(failed=2)

    def test_off_leaves_everything_alone(self, known: Known) -> None:
        known.say(**{"zoo:alpha": HIGH, "tuned": LOWER})
        known.run("--interp-baseline=off", status=0).stdout.no_fnmatch_line("*against the baseline*")

    def test_an_undecided_comparison_fails_unless_that_is_a_warning(self, known: Known) -> None:
        known.say(**{"zoo:alpha": HIGH, "tuned": {"weights": "b", "scores": [0.955, 0.85]}})
        known.run()
        assert told(known)[1] == ("tuned", "compared", "INCONCLUSIVE")
        result = known.run("--interp-inconclusive=warn", status=0)
        result.stdout.fnmatch_lines(["INCONCLUSIVE known/score on tuned: 512 clusters do not tell*"])


class TestWriting:
    def test_new_adds_what_is_missing_and_compares_the_rest(self, known: Known) -> None:
        known.run("--interp-baseline=new", "-k", "tuned", status=0)
        before = files(known)
        assert list(before) == ["tuned.json"]
        known.say(**{"zoo:alpha": HIGH, "tuned": LOWER})
        result = known.run("--interp-baseline=new")
        result.stdout.fnmatch_lines(["interp: baseline written to *zoo-alpha.json"])
        result.stdout.no_fnmatch_line("*baseline written to *tuned.json")
        assert told(known) == [("zoo:alpha", "new", None), ("tuned", "compared", "FAIL")]
        assert files(known)["tuned.json"] == before["tuned.json"]
        assert "zoo-alpha.json" in files(known)

    def test_update_replaces_and_says_what_changed(self, known: Known) -> None:
        keep_high(known)
        known.say(**{"zoo:alpha": HIGH, "tuned": LOWER})
        result = known.run("--interp-baseline=update", status=0)
        result.stdout.fnmatch_lines(
            ["tuned *known/score *0.950 *0.550 *-0.400 *updated", "interp: baseline written to *"]
        )
        assert baseline(known)["checks"]["known/score"]["values"]["seed=0/0"] == 0.6
        assert told(known)[1] == ("tuned", "updated", None)
        known.run(status=0)
        assert told(known)[1] == ("tuned", "compared", "PASS")

    def test_the_whole_budget_is_kept_cluster_by_cluster(self, known: Known) -> None:
        known.run("--interp-baseline=new", "--interp-budget=quick", status=0)
        entry = baseline(known)["checks"]["known/score"]
        assert len(entry["values"]) == 128
        assert known.results.checks[0]["n"] < 128  # the claim was decided long before
        assert (entry["budget"], entry["seed"], entry["version"], entry["population"]) == (128, 0, 1, None)

    def test_it_is_the_same_with_workers(self, known: Known) -> None:
        keep_high(known)
        alone = files(known)
        shutil.rmtree(known.path / "interp-baselines")
        known.run("--interp-baseline=new", "-n2", status=0)
        assert files(known) == alone

    def test_a_run_that_is_broken_off_writes_nothing(self, known: Known) -> None:
        keep_high(known)
        before = files(known)
        known.say(**{"zoo:alpha": HIGH, "tuned": LOWER})
        known.pytester.makeconftest("from known_models import *\ndef pytest_runtest_logfinish(): 1 / 0")
        known.run("--interp-baseline=update", status=3)
        assert files(known) == before

    def test_a_folder_that_cannot_be_written_is_told_at_once(self, known: Known) -> None:
        (known.path / "interp-baselines").write_text("a file in the way")
        result = known.run("--interp-baseline=new", status=4)
        result.stderr.fnmatch_lines(["ERROR: --interp-baseline=new: cannot write *interp-baselines: Not a directory"])
        assert known.passes() == []

    def test_one_that_goes_away_meanwhile_fails_the_run(self, known: Known) -> None:
        known.pytester.makeconftest(
            "from known_models import *\ndef pytest_collection_finish(): open('interp-baselines', 'w').close()"
        )
        result = known.run("--interp-baseline=update")
        result.stdout.fnmatch_lines(["interp: the baseline could not be written to *tuned.json: *"])
        result.assert_outcomes(passed=2)

    def test_two_measurements_of_one_name_are_not_mixed_up(self, known: Known) -> None:
        known.pytester.makepyfile(
            known_suite="""
            from known_models import assert_scores

            def test_score(interp_model): assert_scores(interp_model)
            def test_list(interp_model): assert_scores(interp_model, check="known/score", listed=True)
            """
        )
        known.run("--interp-baseline=new", status=0)
        assert sorted(baseline(known)["checks"]) == ["known/score", "known/score[listed=True]"]


class TestNames:
    def test_a_path_is_no_name(self, known: Known) -> None:
        known.say(**{"./out": HIGH, "zoo:alpha": HIGH})
        (known.path / "out").mkdir()
        run = ("--interp-model=./out", "--interp-suites=known")
        result = known.pytester.runpytest(*run, "--interp-baseline=new")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --interp-baseline=new: *--interp-model=NAME=./out"])
        known.run("--interp-baseline=new", "--interp-model=zoo:alpha", "--interp-model=tuned=zoo:alpha", status=4)
        (known.path / "interp-baselines").mkdir()
        result = known.pytester.runpytest(*run)
        assert result.ret == 0
        result.stdout.fnmatch_lines(["no baseline known/score on ./out: *--interp-model=NAME=./out"])

    def test_two_checkpoints_of_one_model_share_a_baseline_and_only_one_can_be_kept(self, known: Known) -> None:
        known.say(**{"zoo:alpha": HIGH, "tuned": HIGH, "zoo:alpha@1": LOWER, "zoo:alpha@2": HIGH})
        both = ("--interp-model=zoo:alpha@1,zoo:alpha@2", "--interp-suites=known")
        result = known.pytester.runpytest(*both, "--interp-baseline=update")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: *zoo:alpha@1 and zoo:alpha@2 share one baseline*"])
        keep_high(known)
        result = known.pytester.runpytest(*both)
        result.assert_outcomes(passed=1, failed=1)

    def test_a_baseline_that_cannot_be_read_ends_the_run_before_it_begins(self, known: Known) -> None:
        keep_high(known)
        path = known.path / "interp-baselines" / "tuned.json"
        path.write_text("<<<<<<< HEAD\n")
        known.passes()
        result = known.run(status=4)
        result.stderr.fnmatch_lines(["ERROR: *tuned.json: is no JSON*"])
        assert known.passes() == []


class TestInCI:
    @pytest.fixture(autouse=True)
    def _ci(self, known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
        (known.path / "interp-baselines").mkdir()
        monkeypatch.setenv("CI", "true")

    def test_a_missing_baseline_fails(self, known: Known) -> None:
        result = known.run()
        result.assert_outcomes(failed=2)
        result.stdout.fnmatch_lines(["*known/score on tuned: it has no baseline; make one with --interp-baseline=new*"])
        assert all(entry["fails"] for entry in known.results.baselines)

    def test_elsewhere_it_is_told(self, known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CI", "false")
        result = known.run(status=0)
        result.stdout.fnmatch_lines(
            [
                "no baseline known/score on zoo:alpha: *give both one name: --interp-model=NAME=zoo:alpha",
                "no baseline known/score on tuned: it has no baseline; make one with*commit it",
            ]
        )

    def test_a_stale_one_is_told_and_not_compared(self, known: Known) -> None:
        keep_high(known)
        known.say(**{"zoo:alpha": HIGH, "tuned": LOWER | {"version": 2}})
        result = known.run(status=0)
        result.stdout.fnmatch_lines(["stale known/score on tuned: *version 1, this run measured by *version 2*"])


def test_no_module_of_baselines_is_imported_without_them(known: Known) -> None:
    known.pytester.makepyfile(test_plain="def test_plain(): pass")
    known.pytester.makeconftest(
        "import sys\ndef pytest_unconfigure(): print([m for m in sys.modules if 'baseline' in m or m == 'pydantic'])"
    )
    result = known.pytester.runpytest_subprocess("test_plain.py", "-s")
    result.stdout.fnmatch_lines(["[[][]]"])
