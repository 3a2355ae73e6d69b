"""Options: where a value may come from, which source wins, and what is refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from interp_assert.coders import save_coder
from interp_assert.coders.topk import TopKCoder
from interp_plugin.options import OPTIONS
from interp_suites import SHIPPED

SUITES = ", ".join(suite.name for suite in SHIPPED)


def header(toy: pytest.Pytester, *arguments: str) -> str:
    result = toy.runpytest("--interp-suites=toy", *arguments)
    return next(line for line in result.outlines if line.startswith("interp: "))


class TestTheTable:
    def test_every_option_has_a_sentence_a_default_and_twins(self, toy: pytest.Pytester) -> None:
        shown = " ".join(toy.runpytest("--help").stdout.str().split())
        for option in OPTIONS:
            assert option.flag in shown
            assert f"ini {option.ini}, environment {option.environment}." in shown
            assert "efault: " in option.help
            assert option.help.endswith(".")


class TestWhichSourceWins:
    def test_option_over_environment_over_ini_over_default(
        self, toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "seed 0 (default)" in header(toy, "--interp-model=zoo:alpha")
        toy.makeini("[pytest]\ninterp_seed = 3\ninterp_model =\n    zoo:ini\n    zoo:too")
        shown = header(toy)
        assert "models zoo:ini, zoo:too (ini interp_model)" in shown
        assert "seed 3 (ini interp_seed)" in shown
        monkeypatch.setenv("INTERP_SEED", "4")
        monkeypatch.setenv("INTERP_MODEL", "zoo:env")
        assert "models zoo:env (INTERP_MODEL)" in header(toy)
        assert "seed 4 (INTERP_SEED)" in header(toy)
        assert "seed 5 (--interp-seed)" in header(toy, "--interp-seed=5")

    def test_what_is_not_default_is_shown(self, toy: pytest.Pytester) -> None:
        shown = header(toy, "--interp-model=zoo:alpha", "--interp-floor", "toy/claim=0.5", "--interp-batch-tokens=64")
        assert "floor toy/claim=0.5 (--interp-floor)" in shown
        assert "batch-tokens 64 (--interp-batch-tokens)" in shown
        assert "alpha-pass" not in shown

    def test_values_reach_the_tests(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(
            test_values="""
            def test_it(interp_model, interp_settings, interp_floor, interp_budget):
                levels = interp_settings["levels"]
                assert (levels.pass_, levels.fail, interp_settings["seed"]) == (0.02, 0.002, 9)
                assert interp_budget.clusters == 128 and interp_settings["budget"] is interp_budget
                assert interp_floor("toy/claim") == 0.5
                assert interp_floor("toy/other") is None and interp_floor("toy/other", default=0.1) == 0.1
                assert interp_model.batch_tokens == 64
            """
        )
        result = toy.runpytest(
            "--interp-model=zoo:alpha",
            "test_values.py",
            "--interp-alpha-pass=0.02",
            "--interp-alpha-fail=0.002",
            "--interp-seed=9",
            "--interp-budget=quick",
            "--interp-floor=toy/claim=0.5",
            "--interp-batch-tokens=64",
        )
        result.assert_outcomes(passed=1)

    def test_a_coder_reaches_the_tests_with_its_site_if_one_was_said(
        self, toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sae = save_coder(TopKCoder((4,), 8, 2), toy.path / "runs" / "sae")
        toy.makepyfile(
            test_values="""
            import os
            def test_it(interp_coder):
                shown = {name: getattr(value, "k", value) for name, value in interp_coder.items()}
                assert shown == eval(os.environ["WANTED"])
            """
        )

        def found(wanted: dict[str, object], *arguments: str) -> None:
            monkeypatch.setenv("WANTED", repr(wanted))
            toy.runpytest("test_values.py", *arguments).assert_outcomes(passed=1)

        found({})
        toy.makeini("[pytest]\ninterp_coder = blocks.0.resid_post=runs/sae")
        found({"coder": 2, "site": "blocks.0.resid_post"})
        monkeypatch.setenv("INTERP_CODER", "runs/sae")
        found({"coder": 2})
        found({"coder": 2, "site": "embed"}, "--interp-coder=embed=./runs/sae")
        (sae / "sae_weights.safetensors").write_bytes(b"half of i")
        result = toy.runpytest("test_values.py")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*sae_weights.safetensors cannot be read: *; it may be truncated"])


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("argument", "said"),
        [
            ("--interp-budget=huge", "--interp-budget=huge: choose one of quick, standard, thorough"),
            ("--interp-dtype=int8", "--interp-dtype=int8: choose one of float32, bfloat16, float16"),
            ("--interp-inconclusive=maybe", "--interp-inconclusive=maybe: choose one of fail, warn"),
            ("--interp-alpha-pass=1", "--interp-alpha-pass=1: it must lie above 0 and below 0.5"),
            ("--interp-alpha-fail=nan", "--interp-alpha-fail=nan: it must lie above 0 and below 0.5"),
            ("--interp-seed=-1", "--interp-seed=-1: it must be at least 0"),
            (f"--interp-seed={2**63}", f"--interp-seed={2**63}: it must be at most {2**63 - 1}"),
            ("--interp-seed=x", "--interp-seed=x: a whole number is wanted"),
            ("--interp-batch-tokens=0", "--interp-batch-tokens=0: it must be at least 1"),
            (
                "--interp-suites=nope",
                f"--interp-suites=nope: no suite 'nope'; there are {SUITES}, toy,*",
            ),
            ("--interp-suites=none,toy", "*none cannot be combined with suites"),
            ("--interp-floor=toy/claims=1", "*no check 'toy/claims'; floors can be set for circuits/induction, lens*"),
            (
                "--interp-floor=anatomy/chain=0.1",
                "*no check 'anatomy/chain'; floors can be set for circuits/induction*",
            ),
            ("--interp-floor=toy/claim=high", "*write toy/claim=NUMBER; 'high' is no number"),
            ("--interp-floor=toy/claim=inf", "*a floor of toy/claim is a number of at least -inf and below inf"),
            ("--interp-floor=lens/crossover=1", "*a floor of lens/crossover is a number of at least 0 and below 1"),
            ("--interp-coder=embed=./no", "--interp-coder=embed=./no: no directory './no'; write SITE=DIRECTORY"),
            ("--interp-model=zoo:a,,zoo:b", "--interp-model=zoo:alpha,zoo:a,,zoo:b: an empty model id; write*"),
            ("--interp-model=@step1", "*no revision comes before it"),
            ("--interp-model=x=./a,x=./b", "two models have the name 'x': x=./a and x=./b"),
            ("--interp-model=zoo:missing", "no model 'zoo:missing': the zoo has alpha"),
            ("--interp-device=gpu7", "*'gpu7'*"),
            ("--interp-json=stand_in.py/x.json", "*cannot write there: *"),
            ("--interp-json=.", "*it is a directory; name a file"),
            ("--interp-json=/dev/null", "*it is a device or a pipe; name an ordinary file"),
        ],
    )
    def test_one_line_exit_4_and_no_results(self, toy: pytest.Pytester, argument: str, said: str) -> None:
        result = toy.runpytest("--interp-model=zoo:alpha", "--interp-json=out.json", argument)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        errors = [line for line in result.errlines if line]
        assert len(errors) == 1
        result.stderr.fnmatch_lines([f"ERROR: {said}"])
        assert not result.outlines
        assert not list(Path(toy.path).glob("*out.json*"))

    def test_other_sources_are_named(self, toy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        toy.makeini("[pytest]\ninterp_budget = big")
        toy.runpytest().stderr.fnmatch_lines(["ERROR: ini interp_budget=big: choose one of*"])
        toy.makeini("[pytest]\ninterp_trust_remote_code = maybe")
        toy.runpytest().stderr.fnmatch_lines(["ERROR: ini interp_trust_remote_code: *'maybe'; choose one of yes, no"])
        monkeypatch.setenv("INTERP_TRUST_REMOTE_CODE", "perhaps")
        toy.runpytest("--interp-budget=quick").stderr.fnmatch_lines(["*INTERP_TRUST_REMOTE_CODE=perhaps: choose one*"])

    def test_a_suite_whose_plugin_is_off(self, toy: pytest.Pytester) -> None:
        result = toy.runpytest("--interp-model=zoo:alpha", "--interp-suites=timing", "-p", "no:benchmark")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: the suite timing needs the pytest plugin 'benchmark'*-p no:benchmark*"])

    def test_two_suites_of_one_name(self, toy: pytest.Pytester) -> None:
        toy.makeconftest(
            "from stand_in import *\nfrom interp_suites import Suite\n"
            "def pytest_interp_suites(): return [Suite('lens', 'toy_suite')]"
        )
        result = toy.runpytest("--interp-model=zoo:alpha")
        result.stderr.fnmatch_lines(["ERROR: two suites have the name 'lens': *"])

    def test_under_xdist_the_controller_refuses_and_starts_no_worker(
        self, toy: pytest.Pytester, noted: Callable[[str], list[str]]
    ) -> None:
        result = toy.runpytest("--interp-model=zoo:missing", "-n", "2")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert noted("preflights.txt") == ["main zoo:missing"]
