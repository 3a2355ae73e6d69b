"""Under pytest-xdist: who loads which model, and whether everything reaches the controller."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from interp_assert.records import read_results
from interp_fixtures.settings import ModelChoice, RunSettings
from interp_plugin.scheduling import ModelScheduling, model_in_id

Noted = Callable[[str], list[str]]
Decisions = Callable[..., None]


def settings(*labels: str) -> RunSettings:
    return RunSettings(models=tuple(ModelChoice(label, label) for label in labels))


class TestTheModelInAnId:
    @pytest.mark.parametrize(
        ("nodeid", "model"),
        [
            ("interp::circuits::test_induction[zoo:gpt2]", "zoo:gpt2"),
            ("interp::circuits::test_induction[zoo:gpt2-xl]", "zoo:gpt2-xl"),
            ("t.py::test_it[en-zoo:gpt2-3]", "zoo:gpt2"),
            ("t.py::test_it[zoo:gpt2]@group", "zoo:gpt2"),
            ("t.py::test_it[a[0]-zoo:gpt2]", "zoo:gpt2"),
            ("t.py::test_it[./mod\\xe8le]", "./modèle"),
            ("t.py::test_it[zoo:gpt20]", None),
            ("t.py::test_it[en]", None),
            ("t/zoo:gpt2/t.py::test_it", None),
        ],
    )
    def test_is_found(self, nodeid: str, model: str | None) -> None:
        assert model_in_id(nodeid, settings("zoo:gpt2", "zoo:gpt2-xl", "./modèle")) == model


class TestUnitsOfWork:
    @pytest.mark.parametrize(
        ("dist", "labels", "nodeid", "unit"),
        [
            ("load", ("a", "b"), "interp::lens::test_x[a]", "model a"),
            ("load", ("a", "b"), "t.py::test_x[a]", "model a"),
            ("load", ("a",), "interp::lens::test_x[a]", "interp::lens"),
            ("load", ("a",), "t.py::T::test_x[p]", "t.py::T::test_x[p]"),
            ("worksteal", ("a",), "t.py::test_x", "t.py::test_x"),
            ("loadscope", ("a",), "t.py::T::test_x[p::q]", "t.py::T"),
            ("loadfile", ("a",), "t.py::T::test_x", "t.py"),
            ("loadgroup", ("a",), "t.py::test_x[p@q]@one", "group one"),
            ("loadgroup", ("a",), "t.py::test_x@one", "group one"),
            ("loadgroup", ("a",), "t.py::test_x[p@q]", "t.py::test_x[p@q]"),
        ],
    )
    def test_follow_models_then_the_users_dist(
        self, dist: str, labels: tuple[str, ...], nodeid: str, unit: str
    ) -> None:
        scheduler = ModelScheduling.__new__(ModelScheduling)
        scheduler.settings, scheduler.dist = settings(*labels), dist
        assert scheduler._split_scope(nodeid) == unit


class TestEveryDistMode:
    @pytest.mark.parametrize("dist", ["load", "loadscope", "loadfile", "loadgroup", "worksteal", "each"])
    def test_models_stay_together_and_results_arrive(
        self, toy: pytest.Pytester, noted: Noted, decisions: Decisions, dist: str
    ) -> None:
        decisions(**{"zoo:b": "FAIL", "zoo:c": "NOT_APPLICABLE"})
        toy.makepyfile(
            test_mine="""
            import pytest
            @pytest.mark.parametrize("k", range(3))
            def test_mine(k): pass
            @pytest.mark.xdist_group("g")
            def test_using(interp_model): assert interp_model
            """
        )
        args = ("--interp-model=zoo:a,zoo:b,zoo:c", "--interp-suites=toy", "test_mine.py", "--interp-json=out.json")
        result = toy.runpytest(*args, "-n2", "--dist", dist, "--junitxml=junit.xml")
        workers = 2 if dist == "each" else 1
        result.assert_outcomes(passed=8 * workers, failed=2 * workers, skipped=2 * workers)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["zoo:a * 2 PASS *" if workers == 1 else "zoo:a * 4 PASS *"])
        where = defaultdict(list)
        for line in noted("loads.txt"):
            worker, model = line.split()
            where[model].append(worker)
        assert {model: len(on) for model, on in where.items()} == dict.fromkeys(["zoo:a", "zoo:b", "zoo:c"], workers)
        assert {line.split()[0] for line in noted("preflights.txt")} == {"main"}
        results = read_results(toy.path / "out.json")
        assert [model["id"] for model in results.models] == ["zoo:a", "zoo:b", "zoo:c"]
        assert len(results.checks) == 6 * workers
        assert "toy/claim zoo:b FAIL" in (toy.path / "junit.xml").read_text()


class TestOnTheController:
    def test_a_model_that_nothing_uses_and_an_id_that_names_nothing(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(test_mine="def test_mine(): pass")
        unused = toy.runpytest("--interp-model=zoo:a", "test_mine.py", "-n1")
        assert unused.ret == pytest.ExitCode.USAGE_ERROR
        unused.stderr.fnmatch_lines(["ERROR: --interp-model=zoo:a, but no test that was collected uses a model*"])
        absent = toy.runpytest("interp::toy::test_none[zoo:a]", "-n1")
        assert absent.ret == pytest.ExitCode.USAGE_ERROR
        absent.stderr.fnmatch_lines(["ERROR: not found: interp::toy::test_none*"])

    def test_what_was_deselected_or_broken_is_no_usage_error(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(test_mine="def test_mine(): pass")
        run = ("--interp-model=zoo:a", "--interp-suites=toy", "-n1", "test_mine.py")
        toy.runpytest(*run, "-k", "mine").assert_outcomes(passed=1)
        toy.makepyfile(test_mine="import nothing_of_this_name")
        broken = toy.runpytest(run[0], *run[2:])
        assert broken.ret == pytest.ExitCode.TESTS_FAILED
        broken.stdout.fnmatch_lines(["*No module named 'nothing_of_this_name'*"])

    def test_a_run_that_stops_at_the_first_failure_keeps_its_results(
        self, toy: pytest.Pytester, decisions: Decisions
    ) -> None:
        decisions(**{"zoo:a": "FAIL"})
        toy.runpytest("--interp-model=zoo:a", "--interp-suites=toy", "-n1", "-x", "--interp-json=out.json")
        results = read_results(toy.path / "out.json")
        assert not results.run["complete"]
        assert results.checks

    def test_pasted_ids_changed_models_and_users_tests_without_options(
        self, toy: pytest.Pytester, decisions: Decisions
    ) -> None:
        toy.makepyfile(
            test_mine="""
            from stand_in import decide
            def test_it(interp_model, interp_settings): decide(interp_model, "mine/it", None, interp_settings)
            """
        )
        unasked = toy.runpytest("-n1")
        unasked.assert_outcomes(passed=1)
        unasked.stdout.fnmatch_lines(["zoo:gpt_neox * 1 PASS *"])
        (toy.path / "changed").touch()
        pasted = toy.runpytest("interp::toy::test_claim[zoo:a]", "-n1")
        pasted.assert_outcomes(passed=1, errors=1)
        pasted.stdout.fnmatch_lines(["interp: the model changed during the run: zoo:a: *"])
