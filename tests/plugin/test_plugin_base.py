"""``--interp-base``: the model that others are compared with, from the option to the results file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interp_assert.records import read_results

COMPARE = """
from stand_in import decide

def test_compare(interp_model, interp_base, interp_settings):
    assert interp_base.id == "zoo:base"
    decide(interp_model, "toy/claim", None, interp_settings)
"""
DRIFT = [f"interp::drift::test_{name}[zoo:alpha]" for name in ("claims", "output", "text", "residual", "weights")]
MODEL, BASE = "--interp-model=zoo:alpha", "--interp-base=zoo:base"

Noted = Callable[[str], list[str]]


@pytest.fixture
def comparing(toy: pytest.Pytester) -> pytest.Pytester:
    toy.makepyfile(test_compare=COMPARE)
    return toy


class TestTheSuite:
    def test_runs_if_there_is_a_base_and_is_left_out_with_the_reason_if_not(
        self, toy: pytest.Pytester, collected: Callable[..., list[str]]
    ) -> None:
        assert [i for i in collected(MODEL, BASE) if "drift" in i] == DRIFT
        assert [i for i in collected(MODEL, "interp", BASE) if "drift" in i] == DRIFT
        for everything in ("--interp-suites=all", "interp"):
            assert [i for i in collected(MODEL, everything) if "drift" in i] == []
        shown = next(line for line in toy.runpytest(MODEL, "--collect-only").outlines if line.startswith("interp: "))
        assert shown.endswith("; without drift, which needs --interp-base")
        with_base = toy.runpytest(MODEL, BASE, "--collect-only").outlines
        shown = next(line for line in with_base if line.startswith("interp: "))
        assert "base zoo:base (--interp-base)" in shown
        assert "without" not in shown

    @pytest.mark.parametrize("asked", ["--interp-suites=drift", "interp::drift", DRIFT[0]])
    def test_cannot_be_named_without_a_base(self, toy: pytest.Pytester, asked: str) -> None:
        result = toy.runpytest(MODEL, asked)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: the suite drift compares with a base model: name it with --interp-base"])

    def test_environment_and_ini_name_it_too(
        self, toy: pytest.Pytester, collected: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("INTERP_BASE", "zoo:base")
        assert collected(MODEL, DRIFT[1]) == [DRIFT[1]]


class TestTheFixture:
    def test_is_loaded_once_and_recorded(self, comparing: pytest.Pytester, noted: Noted) -> None:
        result = comparing.runpytest(
            "--interp-model=zoo:alpha,zoo:beta",
            BASE,
            "--interp-json=out.json",
            "--interp-suites=toy",
            "test_compare.py",
        )
        result.assert_outcomes(passed=6)
        assert sorted(noted("loads.txt")) == ["main zoo:alpha", "main zoo:base", "main zoo:beta"]
        results = read_results(comparing.path / "out.json")
        assert results.run["base"] == "zoo:base"
        assert [model["id"] for model in results.models] == ["zoo:alpha", "zoo:beta", "zoo:base"]
        assert all(len(model["sha256"]) == 64 for model in results.models)
        assert results.run["options"]["base"] == "zoo:base"
        rows = [line.split()[0] for line in result.outlines if line.startswith("zoo:")]
        assert rows == ["zoo:alpha", "zoo:beta"], "a base has no row of its own"

    def test_may_be_under_test_itself(self, comparing: pytest.Pytester, noted: Noted) -> None:
        for models in ("zoo:base", "zoo:base,zoo:alpha", "zoo:alpha,zoo:base"):
            result = comparing.runpytest(f"--interp-model={models}", BASE, "test_compare.py")
            result.assert_outcomes(passed=models.count("zoo"))
        assert sorted(noted("loads.txt")) == ["main zoo:alpha"] * 2 + ["main zoo:base"] * 3

    def test_its_files_are_compared_too(self, comparing: pytest.Pytester) -> None:
        comparing.makepyfile(
            test_compare=COMPARE + "\n    import pathlib; pathlib.Path(__file__).with_name('changed').touch()"
        )
        result = comparing.runpytest(MODEL, BASE, "test_compare.py")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["*zoo:base: model.safetensors changed since the model was opened*"])

    def test_without_the_option_it_says_what_to_do(self, comparing: pytest.Pytester) -> None:
        result = comparing.runpytest(MODEL, "test_compare.py")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*interp_base was asked for and no base was named: run with --interp-base ID*"])

    def test_every_worker_of_xdist_has_it(self, comparing: pytest.Pytester, noted: Noted) -> None:
        result = comparing.runpytest_subprocess(
            "--interp-model=zoo:alpha,zoo:beta", BASE, "-n2", "test_compare.py", "--interp-json=out.json"
        )
        result.assert_outcomes(passed=2)
        assert sorted(line.split()[1] for line in noted("loads.txt")).count("zoo:base") == 2
        results = read_results(comparing.path / "out.json")
        assert [model["id"] for model in results.models] == ["zoo:alpha", "zoo:beta", "zoo:base"]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                (MODEL, BASE, "test_plain.py"),
                "--interp-base=zoo:base, but no test that was collected compares*",
            ),
            ((MODEL, "--interp-base=zoo:missing"), "no model 'zoo:missing': the zoo has alpha"),
            ((MODEL, "--interp-base=zoo:all"), "--interp-base=zoo:all means * models; name one"),
            ((MODEL, "--interp-base="), "*"),
        ],
    )
    def test_one_line_and_exit_4(self, toy: pytest.Pytester, arguments: tuple[str, ...], said: str) -> None:
        toy.makepyfile(test_plain="def test_plain(interp_model): pass")
        result = toy.runpytest(*arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: {said}"])
        assert len([line for line in result.errlines if line]) == 1

    def test_under_xdist_too_where_only_suites_run(self, toy: pytest.Pytester) -> None:
        result = toy.runpytest_subprocess(MODEL, BASE, "-n1", "--interp-suites=toy")
        assert result.ret != 0
        assert "but no test that was collected compares with it" in result.stdout.str() + result.stderr.str()
