"""Gate files in a run: their tests beside all others, a verdict that fails closed, the exit status that follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

GATE = """
suites: [toy]
claims:
  toy/claim: {floor: 0.5, why: users need it}
models: [zoo:alpha, zoo:beta]
"""
FILE = "release.interp.yaml"
CLAIM, OTHER = (f"{FILE}::release::toy::test_{name}[zoo:alpha]" for name in ("claim", "other"))
EVERY = [CLAIM, OTHER, CLAIM.replace("alpha", "beta"), OTHER.replace("alpha", "beta")]
WAIVER = "waivers: [{model: zoo:alpha, claim: toy/claim, reason: the next one does, owner: jo, expires: %s}]\n"

Decisions = Callable[..., None]
Collected = Callable[..., list[str]]


@pytest.fixture
def gate(toy: pytest.Pytester) -> Callable[..., None]:
    """Write a gate file."""

    def write(text: str = GATE, name: str = FILE) -> None:
        path = toy.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return write


def last_of(result: pytest.RunResult) -> str:
    """The line of the gate's verdict."""
    [line] = [line for line in result.outlines if line.startswith("interp: gate ")]
    return line


def soon() -> str:
    return (datetime.now(timezone.utc).date() + timedelta(days=30)).isoformat()


class TestItsTests:
    def test_are_found_beside_others_by_directory_by_name_and_by_id(
        self, toy: pytest.Pytester, gate: Callable[..., None], collected: Collected
    ) -> None:
        toy.makepyfile(test_mine="def test_mine(): pass")
        gate()
        gate(GATE, "sub/ü.interp.yml")
        gate(GATE, "plain.yaml")
        gate(GATE, "notinterp.yaml")
        assert collected(FILE) == EVERY
        assert collected(CLAIM) == [CLAIM]
        assert collected(f"{FILE}::release::toy") == EVERY
        everything = collected()
        assert set(EVERY) <= set(everything)
        assert sum(nodeid.startswith("sub/ü.interp.yml::ü::toy::") for nodeid in everything) == 4
        assert len(everything) == 9

    def test_are_those_of_the_files_that_were_asked_for(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        toy.makepyfile(test_mine="def test_mine(): pass")
        gate()
        gate("modles: []", "second.interp.yaml")
        assert "RELEASE" in last_of(toy.runpytest(FILE))
        beside = toy.runpytest("test_mine.py")
        assert beside.ret == 0
        assert "interp: " not in beside.stdout.str()

    def test_are_the_same_whatever_the_users_configuration(
        self, gate: Callable[..., None], collected: Collected
    ) -> None:
        gate()
        for arguments in (("-o", "python_functions=check_*"), ("--import-mode=importlib",), ("-p", "no:cacheprovider")):
            assert collected(FILE, *arguments) == EVERY

    def test_stand_beside_suites_that_options_ask_for(self, gate: Callable[..., None], collected: Collected) -> None:
        gate()
        ids = collected(FILE, "--interp-model=zoo:gamma", "--interp-suites=toy")
        assert ids == [*EVERY, "interp::toy::test_claim[zoo:gamma]", "interp::toy::test_other[zoo:gamma]"]

    def test_are_held_as_the_gate_says_whatever_options_say(
        self, toy: pytest.Pytester, gate: Callable[..., None]
    ) -> None:
        gate("levels: {pass: 0.005}\nbudget: quick\nseed: 3\n" + GATE)
        result = toy.runpytest(
            FILE, "--interp-budget=thorough", "--interp-alpha-pass=0.4", "--interp-seed=9", "--interp-json=r.json",
            "--interp-floor=circuits/induction=0.1", "--interp-inconclusive=warn",
        )  # fmt: skip
        assert result.ret == 0
        checks = json.loads((toy.path / "r.json").read_text())["checks"]
        assert {(c["check"], c["threshold"], c["n"], c["details"]["seed"], c["levels"]["pass"]) for c in checks} == {
            ("toy/claim", 0.5, 128, 3, 0.005),
            ("toy/other", 0.25, 128, 3, 0.005),
        }
        assert {c["levels"]["fail"] for c in checks} == {0.01 / 4 / 4}
        assert {c["levels"]["control_fail"] for c in checks} == {0.01 / 4 / 2 / 8}


class TestItsVerdict:
    def test_release(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        gate()
        result = toy.runpytest(FILE, "--interp-json=r.json")
        assert result.ret == 0
        result.assert_outcomes(passed=4)
        assert (
            last_of(result)
            == f"interp: gate release ({FILE}): RELEASE: 4 required claims on 2 models, and every one holds"
        )
        [entry] = json.loads((toy.path / "r.json").read_text())["gates"]
        assert entry["verdict"] == "RELEASE"
        assert {test["outcome"] for test in entry["tests"]} == {"passed"}

    def test_block_names_model_and_claim_and_says_why(
        self, toy: pytest.Pytester, gate: Callable[..., None], decisions: Decisions
    ) -> None:
        gate()
        decisions(**{"zoo:beta toy/claim": "FAIL"})
        result = toy.runpytest(FILE)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert last_of(result) == f"interp: gate release ({FILE}): BLOCK: zoo:beta (toy/claim)"
        result.stdout.fnmatch_lines(
            [
                "*interp: gate release*",
                "BLOCK * zoo:beta: 1 of 2 required claims shown to hold",
                "*toy/claim does not hold: the figure is 0.981*; more than 0.5 is required",
                "*claimed *the toy works",
                "*it matters *users need it",
                f"*look closer*{FILE}::release::toy::test_claim?zoo:beta?*",
                "RELEASE * zoo:alpha: 2 of 2 required claims shown to hold",
            ]
        )
        assert "Traceback" not in result.stdout.str()
        assert "\x1b" not in result.stdout.str()

    @pytest.mark.parametrize("outcome", ["INCONCLUSIVE", "NOT_APPLICABLE"])
    def test_what_is_not_decided_is_no_release(
        self, toy: pytest.Pytester, gate: Callable[..., None], decisions: Decisions, outcome: str
    ) -> None:
        gate()
        decisions(**{"zoo:beta toy/claim": outcome})
        result = toy.runpytest(FILE, "--interp-inconclusive=warn")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "INCOMPLETE: zoo:beta (toy/claim)" in last_of(result)

    def test_advisory_claims_are_told_and_stop_nothing(
        self, toy: pytest.Pytester, gate: Callable[..., None], decisions: Decisions
    ) -> None:
        gate(GATE.replace("floor: 0.5", "floor: 0.5, advisory: true"))
        decisions(**{"zoo:alpha toy/claim": "FAIL", "zoo:beta toy/claim": "INCONCLUSIVE"})
        result = toy.runpytest(FILE, "-v")
        assert result.ret == 0
        result.stdout.fnmatch_lines(
            [
                f"{FILE}::release::toy::test_claim?zoo:alpha? ADVISORY*",
                "*toy/claim does not hold (advisory)*",
                "*toy/claim is not decided (advisory)*",
                "*RELEASE: 2 required claims on 2 models*",
                "*2 passed, 2 advisory*",
            ]
        )

    def test_a_waiver_is_told_each_time_and_ends_on_its_date(
        self, toy: pytest.Pytester, gate: Callable[..., None], decisions: Decisions
    ) -> None:
        decisions(**{"zoo:alpha toy/claim": "FAIL"})
        gate(GATE + WAIVER % soon())
        result = toy.runpytest(FILE)
        assert result.ret == 0
        assert "(1 waived)" in last_of(result)
        result.stdout.fnmatch_lines([f"*waived * until {soon()} by jo: the next one does"])
        gate(GATE + WAIVER % "2026-01-01")
        expired = toy.runpytest(FILE)
        assert expired.ret == pytest.ExitCode.INTERRUPTED
        expired.stdout.fnmatch_lines([f"{FILE}:*: waivers?0?.expires: this waiver expired on 2026-01-01 (jo answers*"])

    def test_several_gates_are_decided_each_by_itself(
        self, toy: pytest.Pytester, gate: Callable[..., None], decisions: Decisions
    ) -> None:
        gate()
        gate("suites: [toy]\nmodels: [zoo:alpha]", "second.interp.yaml")
        decisions(**{"zoo:beta": "FAIL"})
        result = toy.runpytest(FILE, "second.interp.yaml", "--interp-json=r.json")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        entries = json.loads((toy.path / "r.json").read_text())["gates"]
        assert [(entry["name"], entry["verdict"]) for entry in entries] == [("release", "BLOCK"), ("second", "RELEASE")]


class TestItFailsClosed:
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("-k", "claim"), "it was deselected (-k, -m or --deselect)"),
            (("-k", "nothing"), "it was deselected (-k, -m or --deselect)"),
            (("-m", "not interp"), "it was deselected (-k, -m or --deselect)"),
            (("--deselect", OTHER), "it was deselected (-k, -m or --deselect)"),
            ((f"{FILE}::release::toy::test_claim[zoo:alpha]",), "it was not run"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_where_tests_are_left_out(
        self, toy: pytest.Pytester, gate: Callable[..., None], arguments: tuple[str, ...], reason: str
    ) -> None:
        gate()
        result = toy.runpytest(*(() if FILE in arguments[0] else (FILE,)), *arguments, "--interp-json=r.json")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert f"interp: gate release ({FILE}): INCOMPLETE: " in last_of(result)
        result.stdout.fnmatch_lines([f"*has no verdict that counts: {reason}*"])
        [entry] = json.loads((toy.path / "r.json").read_text())["gates"]
        assert entry["verdict"] == "INCOMPLETE"

    def test_where_the_run_ends_before_it(
        self, toy: pytest.Pytester, gate: Callable[..., None], decisions: Decisions
    ) -> None:
        toy.makepyfile(test_a="def test_a(): assert False")
        gate()
        for arguments in (("-x", "test_a.py", FILE), ("--maxfail=1", "test_a.py", FILE)):
            result = toy.runpytest(*arguments)
            assert result.ret == pytest.ExitCode.TESTS_FAILED
            assert "INCOMPLETE: zoo:alpha (toy/claim, toy/other)" in last_of(result)
        decisions(**{"zoo:alpha toy/claim": "FAIL"})
        assert "BLOCK: zoo:alpha (toy/claim)" in last_of(toy.runpytest(FILE, "-x"))

    def test_where_last_failed_leaves_the_file_out(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        toy.makepyfile(test_a="import pathlib\ndef test_a(): assert pathlib.Path('good').exists()")
        gate()
        assert toy.runpytest().ret == pytest.ExitCode.TESTS_FAILED
        (toy.path / "good").touch()
        result = toy.runpytest("--lf")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "INCOMPLETE: none of its tests was collected" in last_of(result)

    def test_where_the_run_is_broken_off(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        toy.makepyfile(test_a="import pytest\ndef test_a(): pytest.exit('enough')")
        gate()
        result = toy.runpytest(FILE, "test_a.py", "--interp-json=r.json")
        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert last_of(result).endswith("INCOMPLETE: the run was broken off, so nothing counts")
        assert not (toy.path / "r.json").exists()

    def test_where_a_test_errs_or_says_nothing(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        gate("claims: {toy/claim: }\nmodels: [zoo:alpha]")
        for body, reason in (
            ("float('nan').hex().missing", "its test ended in an error: *'str' object has no attribute 'missing'"),
            (
                "from interp_assert.errors import NonFiniteMeasurement as N; raise N('it is nan')",
                "*an error: it is nan",
            ),
            ("import pytest; pytest.skip('not today')", "it was skipped: not today"),
            ("pass", "its test ended without a verdict"),
        ):
            toy.makepyfile(toy_suite=f"def test_claim(interp_model):\n    {body}")
            result = toy.runpytest(FILE)
            assert result.ret == pytest.ExitCode.TESTS_FAILED
            result.stdout.fnmatch_lines([f"*has no verdict that counts: {reason}"])

    def test_where_settings_are_not_heeded(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        gate("claims: {toy/claim: {floor: .5}}\nmodels: [zoo:alpha]")
        deaf = "from stand_in import decide\ndef test_claim(interp_model, interp_settings):\n    "
        toy.makepyfile(toy_suite=deaf + "decide(interp_model, 'toy/claim', .1, interp_settings)")
        result = toy.runpytest(FILE)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["*its test never asked for the floor that the gate sets (fixture interp_floor)"])

    def test_where_the_files_change_during_the_run(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        gate()
        (toy.path / "changed").touch()
        result = toy.runpytest(FILE)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "INCOMPLETE" in last_of(result)

    def test_where_failures_are_expected_or_repeated(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        gate()
        toy.makepyfile(
            conftest="""
            import pytest
            from stand_in import pytest_configure, pytest_interp_suites

            def pytest_collection_modifyitems(items):
                for item in items:
                    item.add_marker(pytest.mark.xfail)
            """
        )
        result = toy.runpytest(FILE)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "INCOMPLETE" in last_of(result)

    @pytest.mark.parametrize("hook", ["items[:] = [i for i in items if 'other' not in i.name]", "items.clear()"])
    def test_where_a_hook_takes_its_tests_away_in_silence(
        self, toy: pytest.Pytester, gate: Callable[..., None], hook: str
    ) -> None:
        gate()
        toy.makepyfile(
            conftest=f"""
            from stand_in import pytest_configure, pytest_interp_suites

            def pytest_collection_modifyitems(items):
                {hook}
            """
        )
        result = toy.runpytest(FILE)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "INCOMPLETE: zoo:alpha (toy/" in last_of(result)

    def test_where_a_fixture_replaces_its_models(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        gate()
        toy.makepyfile(
            conftest="""
            import pytest
            from stand_in import pytest_configure, pytest_interp_suites

            @pytest.fixture
            def interp_model(): return "a better one"
            """
        )
        result = toy.runpytest(FILE)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines(["*does not run on the gate's models: a fixture interp_model of your own*"])

    def test_where_a_suite_lacks_the_test_of_a_check(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        gate()
        toy.makepyfile(toy_suite="def test_claim(interp_model): pass")
        result = toy.runpytest(FILE)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines([f"{FILE}: the suite toy has no test_other, which would decide toy/other"])


class TestABadFile:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("modles: [zoo:alpha]", f"{FILE}:1:1: unknown key 'modles'; did you mean 'models'?*"),
            (
                GATE + "x: !!python/object/apply:os.system [touch hit]",
                f"{FILE}:6:4: !!python/object/apply:os.system is *",
            ),
            (GATE.replace("[toy]", "[gauge]"), f"{FILE}:2:10: suites?0?: the suite gauge lists no checks*"),
            (GATE.replace("zoo:beta", "zoo:missing"), f"{FILE}: models?1? (line 5): no model 'zoo:missing': *"),
        ],
    )
    def test_is_one_clean_line(self, toy: pytest.Pytester, gate: Callable[..., None], text: str, said: str) -> None:
        gate(text)
        result = toy.runpytest(FILE)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        shown = result.stdout.str() + result.stderr.str()
        result.stdout.fnmatch_lines([said])
        assert "Traceback" not in shown
        assert ".py:" not in shown
        assert not (toy.path / "hit").exists()

    def test_does_not_end_well_where_collection_goes_on(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        toy.makepyfile(test_a="def test_a(): pass")
        gate("modles: []")
        result = toy.runpytest("--continue-on-collection-errors")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "INCOMPLETE" in last_of(result)

    def test_two_files_outside_the_root_directory_stay_two_gates(
        self, toy: pytest.Pytester, gate: Callable[..., None], decisions: Decisions
    ) -> None:
        """Pytest gives every such file the same node id: the second would be taken for the first."""
        (toy.path / "root").mkdir()
        outside = ("--rootdir=root", "-p", "stand_in")  # a conftest.py outside of it does not count
        gate("suites: [toy]\nmodels: [zoo:alpha]", "a/g.interp.yaml")
        gate("suites: [toy]\nmodels: [zoo:beta]", "b/g.interp.yaml")
        decisions(**{"zoo:beta": "FAIL"})
        result = toy.runpytest(*outside, "a/g.interp.yaml", "b/g.interp.yaml")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(passed=2, failed=2)
        assert [line.partition("): ")[2] for line in result.outlines if line.startswith("interp: gate ")] == [
            "RELEASE: 2 required claims on 1 model, and every one holds",
            "BLOCK: zoo:beta (toy/claim, toy/other)",
        ]
        [pasted] = {line.partition("pytest '")[2][:-1] for line in result.outlines if "test_claim[zoo:beta]'" in line}
        toy.runpytest(*outside, pasted).assert_outcomes(failed=1)

    def test_one_name_for_two_models_in_one_run_is_refused(
        self, toy: pytest.Pytester, gate: Callable[..., None]
    ) -> None:
        for place in ("a", "b"):
            (toy.path / place / "m").mkdir(parents=True)
            gate("suites: [toy]\nmodels: [./m]", f"{place}/g.interp.yaml")
        result = toy.runpytest("a/g.interp.yaml", "b/g.interp.yaml")
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines(["b/g.interp.yaml: models?0? (line 2): m is * elsewhere in this run, and *"])


class TestOptionsBesideIt:
    def test_a_model_for_which_nothing_else_was_collected_is_a_usage_error(
        self, toy: pytest.Pytester, gate: Callable[..., None]
    ) -> None:
        gate()
        result = toy.runpytest(FILE, "--interp-model=zoo:alpha")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*--interp-model=zoo:alpha, but a gate file names its models itself*"])

    def test_collecting_only_decides_nothing(self, toy: pytest.Pytester, gate: Callable[..., None]) -> None:
        gate()
        result = toy.runpytest(FILE, "--collect-only")
        assert result.ret == 0
        assert "interp: gate release" not in result.stdout.str()


def test_an_id_with_markup_commands_and_dots_is_only_text(toy: pytest.Pytester, gate: Callable[..., None]) -> None:
    hostile = "../<b>::error file=x::/@..%0A"
    gate(f"suites: [toy]\nmodels:\n  - id: org/m\n    revision: {json.dumps(hostile)}\n")
    before = set(toy.path.parent.iterdir())
    result = toy.runpytest(FILE, "--interp-json=r.json")
    assert result.ret == 0, result.stdout.str()
    assert set(toy.path.parent.iterdir()) == before
    assert not any(line.startswith("::") for line in result.outlines)
    [model] = json.loads((toy.path / "r.json").read_text())["models"]
    assert model["id"] == f"org/m@{hostile}"


def test_results_say_all_that_the_verdict_needs(toy: pytest.Pytester, gate: Callable[..., None]) -> None:
    from interp_assert.gates import decide_all
    from interp_assert.records import read_results

    gate()
    toy.runpytest(FILE, "--interp-json=r.json")
    results = read_results(toy.path / "r.json")
    entry: Any = results.gates[0]
    assert str(decide_all(results)[0].says) == entry["verdict"] == "RELEASE"
    assert entry["file"] == FILE
    assert [claim["check"] for claim in entry["claims"]] == ["toy/claim", "toy/other"] * 2
