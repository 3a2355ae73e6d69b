"""Which tests a run collects: the selection rules, pasted node ids, and runs that ask for nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import interp_suites
from interp_suites import SHIPPED

SUITES = ", ".join(suite.name for suite in SHIPPED)

Collected = Callable[..., list[str]]

MINE = "test_mine.py::test_mine"
USING = "test_using.py::test_using[zoo:alpha]"
TOY = ["interp::toy::test_claim[zoo:alpha]", "interp::toy::test_other[zoo:alpha]"]
SHIPPED = [
    f"interp::{suite.name}::test_{check.partition('/')[2]}[zoo:alpha]"
    for suite in interp_suites.SHIPPED
    if not suite.by_name_only and not suite.needs_base
    for check in suite.checks
]


@pytest.fixture
def users_tests(toy: pytest.Pytester) -> pytest.Pytester:
    toy.makepyfile(test_mine="def test_mine(): pass", test_using="def test_using(interp_model): pass")
    return toy


class TestSuitesAreChosenByTheCommandLine:
    def test_no_paths_means_the_users_tests_and_every_suite_that_needs_no_further_option(
        self, users_tests: pytest.Pytester, collected: Collected
    ) -> None:
        assert sorted(collected("--interp-model=zoo:alpha")) == sorted([MINE, USING, *SHIPPED, *TOY])

    def test_testpaths_do_not_count_as_paths(self, users_tests: pytest.Pytester, collected: Collected) -> None:
        users_tests.makeini("[pytest]\ntestpaths = test_mine.py")
        assert sorted(collected("--interp-model=zoo:alpha")) == sorted([MINE, *SHIPPED, *TOY])

    def test_paths_mean_only_those_paths(self, users_tests: pytest.Pytester, collected: Collected) -> None:
        assert collected("--interp-model=zoo:alpha", "test_using.py") == [USING]

    def test_suites_that_are_named_come_beside_the_paths(
        self, users_tests: pytest.Pytester, collected: Collected
    ) -> None:
        assert collected("--interp-model=zoo:alpha", "test_mine.py", "--interp-suites=toy") == [MINE, *TOY]

    def test_all_none_and_names(self, toy: pytest.Pytester, collected: Collected) -> None:
        gauge = "interp::gauge::test_gauge[zoo:alpha]"
        model = "--interp-model=zoo:alpha"
        assert collected(model, "--interp-suites=gauge,toy") == [gauge, *TOY]
        assert collected(model, "--interp-suites=all,gauge") == [*SHIPPED, *TOY, gauge]
        toy.makepyfile(test_using="def test_using(interp_model): pass")
        assert collected(model, "--interp-suites=none") == [USING]

    def test_every_model_gets_every_test(self, toy: pytest.Pytester, collected: Collected) -> None:
        (toy.path / "dir").mkdir()
        ids = collected("--interp-suites=toy", "--interp-model=zoo:a,tuned=./dir", "--interp-model=org/m@1,@2,zoo:a")
        models = ["zoo:a", "tuned", "org/m@1", "org/m@2"]
        assert sorted(ids) == sorted(f"interp::toy::test_{test}[{m}]" for test in ("claim", "other") for m in models)

    def test_suites_without_a_model_measure_the_default_one(self, toy: pytest.Pytester, collected: Collected) -> None:
        assert collected("--interp-suites=gauge") == ["interp::gauge::test_gauge[zoo:gpt_neox]"]


class TestTheUsersConfigurationDoesNotHideSuites:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("-o", "python_functions=check_*", "-o", "python_classes=Check*", "-o", "python_files=check_*.py"),
            ("--import-mode=importlib",),
            ("-o", "strict=true"),
            ("-p", "no:cacheprovider"),
            ("-p", "no:xdist", "-p", "no:benchmark"),
            ("-o", "collect_imported_tests=false"),
        ],
        ids=lambda arguments: " ".join(arguments),
    )
    def test_ids_are_the_same(self, collected: Collected, arguments: tuple[str, ...]) -> None:
        assert collected("--interp-model=zoo:alpha", *arguments) == [*SHIPPED, *TOY]


class TestPastedIds:
    def test_an_id_alone_is_enough(self, users_tests: pytest.Pytester, collected: Collected) -> None:
        assert collected(TOY[1]) == [TOY[1]]
        assert collected("--interp-model=zoo:alpha,zoo:beta", TOY[0]) == [TOY[0]]

    def test_a_prefix_names_what_is_below_it(self, users_tests: pytest.Pytester, collected: Collected) -> None:
        assert collected("interp::toy", "--interp-model=zoo:alpha") == TOY
        assert collected("interp::toy::test_claim", "--interp-model=zoo:alpha") == TOY[:1]
        assert collected("interp::toy::test_claim", MINE, "--interp-model=zoo:alpha") == [MINE, TOY[0]]

    @pytest.mark.parametrize(
        ("pasted", "said"),
        [
            ("interp::toy::test_nothing[zoo:alpha]", "*not found: interp::toy::test_nothing?zoo:alpha?*"),
            (
                "interp::nowhere::test_x[zoo:alpha]",
                f"*no suite 'nowhere'; there are {SUITES}, toy, gauge*",
            ),
        ],
    )
    def test_an_id_that_names_nothing_is_a_usage_error(self, toy: pytest.Pytester, pasted: str, said: str) -> None:
        result = toy.runpytest(pasted)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([said])
        result.stderr.no_fnmatch_line("*Traceback*")


class TestAModelThatNothingUses:
    @pytest.mark.parametrize("option", ["--interp-model=zoo:alpha", "--interp-json=out.json"])
    def test_given_for_this_run_it_is_a_usage_error(self, users_tests: pytest.Pytester, option: str) -> None:
        result = users_tests.runpytest(option, "test_mine.py")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: {option}, but no test that was collected uses a model*"])
        assert not (users_tests.path / "out.json").exists()

    def test_in_the_ini_file_it_holds_for_every_run_and_is_none(
        self, users_tests: pytest.Pytester, collected: Collected
    ) -> None:
        users_tests.makeini("[pytest]\ninterp_model = zoo:alpha")
        assert collected("test_mine.py") == [MINE]

    def test_when_all_of_its_tests_are_deselected_pytest_says_so(self, toy: pytest.Pytester) -> None:
        assert toy.runpytest("--interp-model=zoo:alpha", "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED


class TestWithoutOptions:
    def test_nothing_is_added(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(test_mine="def test_mine(): pass")
        result = toy.runpytest("-v")
        result.assert_outcomes(passed=1)
        result.stdout.no_fnmatch_line("*interp:*")

    def test_a_test_of_the_users_that_asks_for_a_model_gets_the_default_one(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(
            test_mine="""
            def test_it(interp_model): assert interp_model.id == "zoo:gpt_neox"
            def test_inside(request): assert request.getfixturevalue("interp_model").id == "zoo:gpt_neox"
            """
        )
        result = toy.runpytest("-v")
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(["interp: no --interp-model was given, so interp_model is zoo:gpt_neox"])


class TestUsersWhoNameTheirModelsThemselves:
    def test_marks_and_overrides_are_left_alone(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(
            test_marked="""
            import pytest
            @pytest.mark.parametrize("interp_model", ["zoo:mine", "other=zoo:x"], indirect=True)
            def test_it(interp_model): assert interp_model.id in ("zoo:mine", "other")
            """,
            test_own="""
            import pytest
            @pytest.fixture
            def interp_model(): return "my own"
            def test_it(interp_model): assert interp_model == "my own"
            """,
            test_wrapped="""
            import pytest
            @pytest.fixture
            def interp_model(interp_model): return interp_model.id
            def test_it(interp_model): assert interp_model in ("zoo:alpha", "zoo:beta")
            """,
        )
        result = toy.runpytest("--interp-model=zoo:alpha,zoo:beta", "--interp-suites=none")
        result.assert_outcomes(passed=2 + 1 + 2)

    @pytest.mark.parametrize("workers", [(), ("-n1",)])
    def test_a_model_that_was_given_and_is_replaced_everywhere_is_a_usage_error(
        self, toy: pytest.Pytester, workers: tuple[str, ...]
    ) -> None:
        toy.makeconftest(
            """
            from stand_in import *
            from stand_in import ToyModel

            @pytest.fixture
            def interp_model(): return ToyModel("zoo:mine")
            """
        )
        result = toy.runpytest("--interp-model=zoo:alpha", "--interp-suites=toy", *workers)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --interp-model=zoo:alpha, but no test that was collected runs on it: *"])
        toy.runpytest("--interp-suites=toy", *workers).assert_outcomes(passed=2)

    def test_a_parameter_that_is_no_id_is_refused(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(
            test_mine="""
            import pathlib
            import pytest

            @pytest.mark.parametrize("interp_model", [3, pathlib.Path("there")], indirect=True)
            def test_it(interp_model): assert interp_model.id == "there"
            """
        )
        (toy.path / "there").mkdir()
        result = toy.runpytest("test_mine.py")
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines(["ERROR *a model id is a string, not int: 3*"])


class TestSuitesLiveInTheUsersProject:
    def test_hooks_and_fixtures_of_the_root_conftest_hold_for_them(self, toy: pytest.Pytester) -> None:
        toy.makeconftest(
            """
            from stand_in import *

            @pytest.fixture
            def interp_floor():
                return lambda check, default=None: 0.75

            def pytest_runtest_setup(item):
                print("set up", item.nodeid)
            """
        )
        (toy.path / "elsewhere").mkdir()
        (toy.path / "toy_suite.py").rename(toy.path / "elsewhere" / "toy_suite.py")
        toy.syspathinsert(toy.path / "elsewhere")
        result = toy.runpytest("--interp-model=zoo:alpha", "--interp-suites=toy", "--junitxml=junit.xml", "-s")
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(["*set up interp::toy::test_claim?zoo:alpha?"])
        assert (toy.path / "junit.xml").read_text().count("against 0.75") == 2
