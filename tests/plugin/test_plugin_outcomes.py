"""What a verdict does to the test, to the exit status and to the terminal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Decisions = Callable[..., None]

ONE = ("--interp-model=zoo:alpha", "--interp-suites=toy", "-k", "claim")


def between(result: pytest.RunResult, start: str, end: str) -> list[str]:
    """The lines after the one that contains ``start`` and before the next that contains ``end``."""
    lines = result.outlines
    first = next(i for i, line in enumerate(lines) if start in line) + 1
    last = next(i for i, line in enumerate(lines[first:], first) if end in line)
    return lines[first:last]


class TestOutcomesOfSuites:
    def test_pass(self, toy: pytest.Pytester) -> None:
        result = toy.runpytest(*ONE)
        assert result.ret == 0
        result.assert_outcomes(passed=1, deselected=1)

    def test_fail_shows_the_message_alone(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        decisions(**{"zoo:alpha": "FAIL"})
        result = toy.runpytest(*ONE)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        shown = between(result, "_ test_claim[zoo:alpha] _", "interp: what is inside")
        assert shown[0].startswith("toy/claim FAIL: ")
        assert not any("stand_in.py" in line or "def " in line or "interp_assert" in line for line in shown)
        result.stdout.fnmatch_lines(["FAILED interp::toy::test_claim?zoo:alpha? - toy/claim FAIL: *"])
        assert "\x1b" not in result.stdout.str()

    def test_not_applicable_is_a_skip_with_its_reason_and_no_success(
        self, toy: pytest.Pytester, decisions: Decisions
    ) -> None:
        decisions(**{"zoo:alpha": "NOT_APPLICABLE"})
        result = toy.runpytest(*ONE, "-rs")
        result.assert_outcomes(skipped=1, deselected=1)
        result.stdout.fnmatch_lines(["interp: nothing was decided*", "SKIPPED *the toy says NOT_APPLICABLE*"])
        assert result.ret == pytest.ExitCode.TESTS_FAILED

    def test_inconclusive_fails_unless_it_may_warn(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        decisions(**{"zoo:alpha": "INCONCLUSIVE"})
        failing = toy.runpytest(*ONE)
        failing.assert_outcomes(failed=1, deselected=1)
        assert failing.ret == pytest.ExitCode.TESTS_FAILED
        warned = toy.runpytest(*ONE, "--interp-inconclusive=warn", "-v")
        warned.stdout.fnmatch_lines(
            [
                "interp::toy::test_claim?zoo:alpha? INCONCLUSIVE*",
                "interp: 1 test was INCONCLUSIVE and did not fail the run (--interp-inconclusive=warn)",
                "interp: nothing was decided*",
                "*1 inconclusive*",
            ]
        )
        assert warned.ret == pytest.ExitCode.TESTS_FAILED
        decisions(**{"zoo:alpha toy/other": "INCONCLUSIVE"})
        beside = toy.runpytest(*ONE[:2], "--interp-inconclusive=warn")
        assert beside.ret == 0
        beside.assert_outcomes(passed=1)

    def test_a_suite_that_passes_without_a_verdict_decides_nothing(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(toy_suite="def test_claim(interp_model): pass")
        result = toy.runpytest(*ONE)
        result.assert_outcomes(passed=1)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["interp: nothing was decided*"])

    def test_plain_asserts_of_an_added_suite_say_what_they_compared(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(toy_gauge="def test_gauge(interp_model):\n    assert interp_model.id == 'zoo:' + 'beta'")
        result = toy.runpytest("--interp-model=zoo:alpha", "--interp-suites=gauge")
        result.stdout.fnmatch_lines(["E * assert 'zoo:alpha' == 'zoo:beta'"])


class TestOutcomesOfUsersTests:
    def test_their_own_line_is_shown_and_ours_are_not(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(
            test_mine="""
            from interp_assert.stats import Budget

            def test_error(interp_model):
                Budget.named("colossal")  # this line

            def test_expected(interp_model):
                import pytest
                with pytest.raises(Exception, match="colossal"):
                    Budget.named("colossal")
            """
        )
        result = toy.runpytest("--interp-model=zoo:alpha", "test_mine.py")
        result.assert_outcomes(failed=1, passed=1)
        shown = between(result, "_ test_error[zoo:alpha] _", "short test summary")
        assert '>       Budget.named("colossal")  # this line' in shown
        assert sum("unknown budget 'colossal'" in line for line in shown) == 1
        assert not any("levels.py" in line for line in shown)
        assert "KeyError" not in result.stdout.str()
        full = toy.runpytest("--interp-model=zoo:alpha", "test_mine.py", "--full-trace")
        full.stdout.fnmatch_lines(["*levels.py*"])

    def test_the_short_summary_says_what_failed_not_the_class(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        decisions(**{"zoo:alpha": "FAIL"})
        toy.makepyfile(
            test_mine="""
            from interp_assert.stats import Budget
            from stand_in import decide

            def test_claim(interp_model, interp_settings): decide(interp_model, "toy/claim", None, interp_settings)

            def test_without_a_model(): Budget.named("colossal")

            def test_plain(): assert 1 == 2
            """
        )
        result = toy.runpytest("--interp-model=zoo:alpha", "test_mine.py")
        result.stdout.fnmatch_lines(
            [
                "FAILED test_mine.py::test_claim?zoo:alpha? - toy/claim FAIL: *",
                "FAILED test_mine.py::test_without_a_model - unknown budget 'colossal'*",
                "FAILED test_mine.py::test_plain - *assert 1 == 2",
            ]
        )
        assert not any("levels.py" in line for line in result.outlines)

    def test_verdicts_of_theirs_count_and_are_recorded(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        decisions(**{"zoo:alpha mine/skipped": "NOT_APPLICABLE", "zoo:alpha mine/failed": "FAIL"})
        toy.makepyfile(
            test_mine="""
            import pytest
            from stand_in import decide

            @pytest.mark.parametrize("claim", ["passed", "skipped", "failed"])
            def test_it(claim, interp_model, interp_settings):
                decide(interp_model, f"mine/{claim}", None, interp_settings)

            @pytest.mark.xfail(raises=AssertionError)
            def test_xfail(interp_model, interp_settings):
                decide(interp_model, "mine/failed", None, interp_settings)

            def test_plain(interp_model): assert interp_model
            """
        )
        result = toy.runpytest("--interp-model=zoo:alpha", "test_mine.py")
        result.assert_outcomes(passed=2, skipped=1, failed=1, xfailed=1)
        result.stdout.fnmatch_lines(["zoo:alpha * 1 PASS, 2 FAIL, 1 n/a *"])

    def test_plain_tests_of_a_model_decide_by_passing(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(test_mine="def test_it(interp_model): assert interp_model")
        result = toy.runpytest("--interp-model=zoo:alpha", "test_mine.py")
        assert result.ret == 0
        result.stdout.no_fnmatch_line("*nothing was decided*")


class TestAModelThatCannotBeOpened:
    def test_the_error_is_its_message(self, toy: pytest.Pytester) -> None:
        toy.makeconftest(
            """
            from stand_in import *
            from stand_in import ToyModel
            from interp_assert.errors import ModelBroken

            def provenance(self):
                try:
                    1 / 0
                except ZeroDivisionError as error:
                    raise ModelBroken("zoo:alpha: blocks.3.weight holds NaN") from error

            ToyModel.provenance = provenance
            """
        )
        result = toy.runpytest(*ONE)
        result.assert_outcomes(errors=1, deselected=1)
        shown = between(result, "ERROR at setup of test_claim[zoo:alpha]", "interp: nothing was decided")
        assert shown == ["zoo:alpha: blocks.3.weight holds NaN"]


class TestAModelThatChanges:
    def test_the_run_fails_and_says_so(self, toy: pytest.Pytester) -> None:
        (toy.path / "changed").touch()
        result = toy.runpytest(*ONE, "--interp-json=out.json")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(passed=1, errors=1, deselected=1)
        said = "zoo:alpha: model.safetensors changed since the model was opened"
        result.stdout.fnmatch_lines(
            ["*ERROR at teardown of test_claim*", said, f"interp: the model changed during the run: {said}"]
        )
        from interp_assert.records import read_results

        assert read_results(toy.path / "out.json").models[0]["changed"] == said


class TestLoading:
    def test_each_model_is_loaded_once_and_only_when_needed(
        self, toy: pytest.Pytester, noted: Callable[[str], list[str]]
    ) -> None:
        toy.makepyfile(
            test_first="def test_a(interp_model): pass", test_last="def test_z(interp_model, interp_floor): pass"
        )
        toy.runpytest("--interp-model=zoo:a,zoo:b,zoo:c", "--interp-suites=all", "-k", "toy or first or last")
        assert noted("loads.txt") == ["main zoo:a", "main zoo:b", "main zoo:c"]
        toy.runpytest("--interp-model=zoo:d", "--collect-only")
        assert len(noted("loads.txt")) == 3

    def test_a_model_that_a_later_test_needs_is_kept_open(
        self, toy: pytest.Pytester, noted: Callable[[str], list[str]]
    ) -> None:
        toy.makeconftest(
            """
            from stand_in import *

            @pytest.hookimpl(trylast=True)
            def pytest_collection_modifyitems(items):  # as older versions of pytest order them
                items.sort(key=lambda item: item.originalname)
            """
        )
        result = toy.runpytest("--interp-model=zoo:a,zoo:b", "--interp-suites=toy", "-v")
        result.assert_outcomes(passed=4)
        assert noted("loads.txt") == ["main zoo:a", "main zoo:b"]

    def test_a_model_is_freed_before_the_next_is_loaded_even_after_a_failure(
        self, toy: pytest.Pytester, noted: Callable[[str], list[str]]
    ) -> None:
        toy.makeconftest(
            """
            import weakref, stand_in
            from stand_in import *
            from stand_in import ToyModel

            opened = []
            make = ToyModel.__init__

            def watched(self, id, device=None):
                make(self, id, device)
                alive = [model.id for model in (reference() for reference in opened) if model is not None]
                (stand_in.HERE / "alive.txt").open("a").write(f"{id} {alive}\\n")
                self.itself = self  # as models do: only the garbage collector frees it
                opened.append(weakref.ref(self))

            ToyModel.__init__ = watched
            """
        )
        toy.makepyfile(test_mine="def test_it(interp_model): assert not interp_model")
        # pytester records the calls of all hooks, and with them the models: only a process of its own frees them.
        result = toy.runpytest_subprocess("--interp-model=zoo:a,zoo:b,zoo:c", "test_mine.py")
        result.assert_outcomes(failed=3)
        assert noted("alive.txt") == ["zoo:a []", "zoo:b []", "zoo:c []"]


class TestOutput:
    def test_ids_cannot_control_the_terminal(self, toy: pytest.Pytester) -> None:
        (toy.path / "a\x1b[31mb").mkdir()
        result = toy.runpytest(
            "--interp-model=./a\x1b[31mb", "--interp-suites=toy", "-v", "--junitxml=junit.xml", "--interp-json=out.json"
        )
        result.assert_outcomes(passed=2)
        assert "\x1b" not in result.stdout.str()
        result.stdout.fnmatch_lines(["interp: models ./a\\x1b?31mb *", "./a\\x1b?31mb * 2 PASS *"])

    def test_nothing_of_ours_warns(self, toy: pytest.Pytester, decisions: Decisions) -> None:
        decisions(**{"zoo:alpha toy/claim": "INCONCLUSIVE"})
        result = toy.runpytest(
            "--interp-model=zoo:alpha", "--interp-suites=toy", "--interp-inconclusive=warn", "-W", "error"
        )
        assert result.ret == 0

    def test_quiet_runs_and_runs_without_a_terminal_report(self, toy: pytest.Pytester) -> None:
        model = ("--interp-model=zoo:alpha", "--interp-suites=toy", "--interp-json=out.json")
        assert toy.runpytest(*model, "-qq").ret == 0
        (toy.path / "out.json").unlink()
        assert toy.runpytest(*model, "-p", "no:terminal").ret == 0
        assert (toy.path / "out.json").exists()


class TestProgress:
    def test_lines_come_after_silence_and_never_break_the_report(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(
            toy_suite="""
            from interp_assert.assertions.progress import report

            def test_claim(interp_model, pytestconfig):
                progress = pytestconfig.pluginmanager.get_plugin("interp-verdicts").progress
                for done, now in ((64, 1e9), (128, 1e9 + 1), (256, 1e9 + 31)):
                    progress.clock = lambda now=now: now
                    report("toy/claim", "zoo:al\\x1bpha", done, 512)
            """
        )
        loud = toy.runpytest("--interp-model=zoo:alpha", "--interp-suites=toy", "-v")
        written = [line for line in loud.outlines if " of at most " in line]
        assert written == [f"interp: toy/claim on zoo:al\\x1bpha: {done} of at most 512 clusters" for done in (64, 256)]
        loud.stdout.fnmatch_lines(["interp: opening zoo:alpha", "interp::toy::test_claim?zoo:alpha? PASSED*"])
        quiet = toy.runpytest("--interp-model=zoo:alpha", "--interp-suites=toy")
        quiet.stdout.no_fnmatch_line("*of at most*")
