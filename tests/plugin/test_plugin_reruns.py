"""Selecting and rerunning with pytest's own options, which know nothing of virtual items; and JUnit reports."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import pytest

RUN = ("--interp-model=zoo:alpha,zoo:beta", "--interp-suites=toy")
FAILING = ["interp::toy::test_claim[zoo:beta]", "interp::toy::test_other[zoo:beta]"]


@pytest.fixture
def mixed(toy: pytest.Pytester, decisions: Callable[..., None]) -> pytest.Pytester:
    """zoo:beta fails its claims, and so does one test of the user's."""
    decisions(**{"zoo:beta": "FAIL"})
    toy.makepyfile(test_bad="def test_bad(): assert 0\ndef test_good(): pass", test_good="def test_fine(): pass")
    return toy


class TestSelection:
    def test_by_keyword_marker_and_deselect(self, mixed: pytest.Pytester, collected: Callable[..., list[str]]) -> None:
        assert collected(*RUN, "-k", "claim and beta") == FAILING[:1]
        assert collected(*RUN, "-m", "interp and not nothing", "-k", "toy and beta") == FAILING
        assert collected(*RUN, "-m", "not interp") == [
            "test_bad.py::test_bad",
            "test_bad.py::test_good",
            "test_good.py::test_fine",
        ]
        assert collected(*RUN, "-m", "interp", "--deselect", "interp::toy::test_claim") == [
            "interp::toy::test_other[zoo:alpha]",
            "interp::toy::test_other[zoo:beta]",
        ]


class TestReruns:
    def test_last_failed_runs_every_failure_and_nothing_else(self, mixed: pytest.Pytester) -> None:
        mixed.runpytest(*RUN).assert_outcomes(passed=4, failed=3)
        again = mixed.runpytest(*RUN, "--lf", "-v")
        again.assert_outcomes(failed=3)
        for nodeid in ("test_bad.py::test_bad", *FAILING):
            again.stdout.fnmatch_lines([f"{nodeid.replace('[', '?').replace(']', '?')} FAILED*"])

    def test_last_failed_without_a_failure_of_ours_is_no_usage_error(self, toy: pytest.Pytester) -> None:
        toy.makepyfile(test_bad="def test_bad(): assert 0", test_using="def test_using(interp_model): pass")
        run = ("--interp-model=zoo:alpha", "test_bad.py", "test_using.py")
        toy.runpytest(*run).assert_outcomes(passed=1, failed=1)
        again = toy.runpytest("--interp-model=zoo:alpha", "--interp-suites=none", "--lf")
        again.assert_outcomes(failed=1)

    def test_failed_first_and_stepwise(self, mixed: pytest.Pytester) -> None:
        mixed.runpytest(*RUN, "--deselect", "test_bad.py")
        first = mixed.runpytest(*RUN, "--ff", "-v", "--deselect", "test_bad.py")
        ran = [line for line in first.outlines if " PASSED" in line or " FAILED" in line]
        assert [line.split()[0] for line in ran[:2]] == FAILING
        stopped = mixed.runpytest(*RUN, "--sw", "--deselect", "test_bad.py")
        stopped.assert_outcomes(passed=3, failed=1)
        (mixed.path / "toy.json").unlink()
        resumed = mixed.runpytest(*RUN, "--sw", "--deselect", "test_bad.py")
        resumed.assert_outcomes(passed=2, deselected=5)

    def test_a_failure_reruns_by_the_id_that_was_printed(self, mixed: pytest.Pytester) -> None:
        result = mixed.runpytest(*RUN)
        printed = next(line.split()[1] for line in result.outlines if line.startswith("FAILED interp::"))
        mixed.runpytest(printed).assert_outcomes(failed=1)
        mixed.runpytest(printed, *RUN).assert_outcomes(passed=2, failed=2)
        mixed.runpytest(printed, RUN[0]).assert_outcomes(failed=1)


class TestJUnit:
    def test_short_properties_and_not_the_whole_record(self, mixed: pytest.Pytester) -> None:
        mixed.runpytest(*RUN, "--junitxml=junit.xml", "-k", "claim")
        text = (mixed.path / "junit.xml").read_text()
        cases = {case.get("name"): case for case in ElementTree.fromstring(text).iter("testcase")}
        assert cases["test_claim[zoo:beta]"].get("classname") == "interp.toy"
        for model, verdict in (("alpha", "PASS"), ("beta", "FAIL")):
            found = cases[f"test_claim[zoo:{model}]"].iter("property")
            properties = {str(each.get("name")): each.get("value") for each in found}
            assert properties["interp"] == f"toy/claim zoo:{model} {verdict} 0.981 against 0.05 n=512"
            assert all(name.startswith("interp.toy/claim.") for name in properties if name != "interp")
            assert max(map(len, properties.values())) < 100
        assert "\x1b" not in text
        assert "direction" not in text
