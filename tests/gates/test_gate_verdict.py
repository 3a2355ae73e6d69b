"""The verdict on a release fails closed: RELEASE needs every required claim to be shown to hold, as the gate asks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interp_assert.gates import Release, decide, decide_all
from interp_assert.records import Results, read_results, write_results

from .suites import gate_of

GATE = """
suites: [toy]
claims: {toy/claim: {floor: .5}}
models: [zoo:a, zoo:b]
"""
RUN = {"versions": {}, "platform": "here", "seed": 0, "started": "2026-03-01", "seconds": 1.0}
LEVELS = {"pass": 0.01, "fail": 0.001, "control": 0.01}
Change = Callable[[dict[str, Any]], None]

WEIGHTS = {"before": None, "now": {"sha256": "0" * 64, "revision": None, "dtype": "float32"}}


def entry(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "revision": None,
        "sha256": "0" * 64,
        "architecture": "toy",
        "parameters": 1,
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
        "changed": None,
    }


def document(text: str, folder: Path) -> dict[str, Any]:
    """A run over a gate in which everything passed."""
    gate = {**gate_of(text, folder).as_dict(), "node": "release.interp.yaml::release", "problem": "", "tests": []}
    checks = []
    for claim in gate["claims"]:
        nodeid = f"{gate['node']}::{claim['check'].replace('/', '::test_')}[{claim['model']}]"
        asked = [f"{claim['check']} floor"]
        place = {"nodeid": nodeid, "model": claim["model"], "check": claim["check"]}
        gate["tests"].append({**place, "outcome": "passed", "message": "", "asked": asked})
        checks.append(
            {
                **place,
                "verdict": "PASS",
                "claim_verdict": "PASS",
                "estimate": 0.9,
                "interval": [0.8, 1.0],
                "n": 64,
                "threshold": 0.5,
                "direction": "higher",
                "levels": LEVELS,
                "details": {},
                "controls": [],
                "reason": "",
                "forward_passes": 1,
                "tokens": 1,
                "seconds": 0.1,
            }
        )
    models = [entry(model["model"]) for model in gate["models"]]
    return {"run": RUN, "models": models, "checks": checks, "gates": [gate]}


def worse(**changes: Any) -> Change:
    """A comparison with a baseline that makes the run fail."""

    def change(run: dict[str, Any]) -> None:
        test = run["gates"][0]["tests"][0]
        entry = {key: test[key] for key in ("nodeid", "model", "check")}
        entry |= {"key": test["check"], "status": "compared", "verdict": "FAIL", "fails": True, "reason": "it is worse"}
        entry |= dict.fromkeys(("before", "now", "change", "interval", "limit"))
        entry |= {"n": 64, "unit": "share", "direction": "higher", "approximate": False, "weights": WEIGHTS, **changes}
        run["baselines"] = [entry]
        test |= {"outcome": "failed", "message": "worse"}

    return change


def results(document: dict[str, Any]) -> Results:
    parts = ("models", "checks", "profiles", "baselines", "gates")
    return Results(document["run"], *(tuple(document.get(part, ())) for part in parts))


def verdict_of(document: dict[str, Any]) -> tuple[str, list[str]]:
    """The verdict, and the reasons of whatever is not RELEASE."""
    decided = decide(document["gates"][0], results(document))
    claims = [claim for model in decided.models for claim in model.claims]
    reasons = [decided.reason, *(model.reason for model in decided.models), *(claim.reason for claim in claims)]
    return str(decided.says), [reason for reason in reasons if reason]


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Any]:
    return document(GATE, tmp_path)


def test_everything_passed_is_a_release(run: dict[str, Any]) -> None:
    assert verdict_of(run) == ("RELEASE", [])


def test_it_is_read_off_the_file_alone(run: dict[str, Any], tmp_path: Path) -> None:
    write_results(results(run), tmp_path / "results.json")
    [decided] = decide_all(read_results(tmp_path / "results.json"))
    assert decided.says is Release.RELEASE
    assert [model.model for model in decided.models] == ["zoo:a", "zoo:b"]


def drop_check(run: dict[str, Any]) -> None:
    del run["checks"][0]


def ended(outcome: str, message: str = "") -> Change:
    def change(run: dict[str, Any]) -> None:
        run["gates"][0]["tests"][0] |= {"outcome": outcome, "message": message}
        drop_check(run)

    return change


def of_check(**changes: Any) -> Change:
    return lambda run: run["checks"][0].update(changes)


def of_test(**changes: Any) -> Change:
    return lambda run: run["gates"][0]["tests"][0].update(changes)


def of_model(**changes: Any) -> Change:
    return lambda run: run["models"][0].update(changes)


def of_gate(**changes: Any) -> Change:
    return lambda run: run["gates"][0].update(changes)


CLOSED: dict[str, tuple[Change, str, str]] = {
    "failed": (of_check(verdict="FAIL", reason="it is false"), "BLOCK", "it is false"),
    "failed, though its test passed": (of_check(verdict="FAIL"), "BLOCK", ""),
    "inconclusive": (of_check(verdict="INCONCLUSIVE", reason="too few"), "INCOMPLETE", "too few"),
    "not applicable": (of_check(verdict="NOT_APPLICABLE", reason="no such site"), "INCOMPLETE", "no such site"),
    "no record": (drop_check, "INCOMPLETE", "its test ended without a verdict"),
    "never collected": (of_gate(tests=[]), "INCOMPLETE", "no test of it was collected"),
    "skipped": (ended("skipped", "not today"), "INCOMPLETE", "it was skipped: not today"),
    "an error": (ended("error", "boom"), "INCOMPLETE", "its test ended in an error: boom"),
    "failed without a verdict": (ended("failed", "nan"), "INCOMPLETE", "its test ended in an error: nan"),
    "deselected": (ended("deselected"), "INCOMPLETE", "it was deselected (-k, -m or --deselect)"),
    "not reached": (ended(""), "INCOMPLETE", "it was not run: deselected, or the run ended before it"),
    "not reached, but there is a record": (of_test(outcome=""), "INCOMPLETE", "it was not run"),
    "an error after the verdict": (of_test(outcome="error", message="changed"), "INCOMPLETE", "error: changed"),
    "a failure after the verdict": (of_test(outcome="failed", message="x"), "INCOMPLETE", "but its test failed: x"),
    "skipped after the verdict": (of_test(outcome="skipped", message="x"), "INCOMPLETE", "but its test skipped: x"),
    "not finite": (of_check(estimate=None), "INCOMPLETE", "nothing was measured"),
    "no clusters": (of_check(n=0), "INCOMPLETE", "nothing was measured"),
    "another floor": (of_test(asked=[]), "INCOMPLETE", "never asked for the floor that the gate sets"),
    "weaker levels": (
        of_check(levels={**LEVELS, "pass": 0.05}),
        "INCOMPLETE",
        "error level of 0.05, the gate asks for",
    ),
    "another model": (of_check(model="zoo:c"), "INCOMPLETE", "without a verdict"),
    "another test": (of_check(nodeid="interp::toy::test_claim[zoo:a]"), "INCOMPLETE", "without a verdict"),
    "changed files": (of_model(changed="model.safetensors"), "INCOMPLETE", "its files changed during the run"),
    "unknown weights": (lambda run: run["models"].clear(), "INCOMPLETE", "do not say which weights were measured"),
    "worse than its baseline": (worse(), "BLOCK", "it is worse"),
    "perhaps worse": (worse(verdict="INCONCLUSIVE", reason="too few"), "INCOMPLETE", "too few"),
    "without a baseline": (worse(verdict=None, status="missing", reason="none"), "INCOMPLETE", "none"),
    "a problem of the whole": (of_gate(problem="broken off"), "INCOMPLETE", "broken off"),
    "no models": (of_gate(models=[], claims=[]), "INCOMPLETE", "it names no model"),
}


@pytest.mark.parametrize(("change", "verdict", "reason"), CLOSED.values(), ids=CLOSED)
def test_it_fails_closed(run: dict[str, Any], change: Change, verdict: str, reason: str) -> None:
    change(run)
    said, reasons = verdict_of(run)
    assert said == verdict
    assert not reason or any(reason in told for told in reasons)


def test_a_rerun_that_passed_does_not_make_a_fail_good(run: dict[str, Any]) -> None:
    run["checks"].insert(0, {**run["checks"][0], "verdict": "FAIL"})
    assert verdict_of(run)[0] == "BLOCK"
    run["checks"][0]["verdict"] = "INCONCLUSIVE"
    assert verdict_of(run)[0] == "INCOMPLETE"


def test_block_is_said_before_incomplete(run: dict[str, Any]) -> None:
    run["checks"][0]["verdict"] = "INCONCLUSIVE"
    run["checks"][-1]["verdict"] = "FAIL"
    decided = decide(run["gates"][0], results(run))
    assert [model.says for model in decided.models] == [Release.INCOMPLETE, Release.BLOCK]
    assert decided.says is Release.BLOCK
    run["gates"][0]["problem"] = "broken off"
    assert verdict_of(run)[0] == "BLOCK"


def test_identities_have_no_levels_and_no_estimate(run: dict[str, Any]) -> None:
    run["checks"][0].update(levels=None, estimate=None)
    assert verdict_of(run)[0] == "RELEASE"


class TestExcused:
    ADVISORY = GATE.replace("{floor: .5}", "{floor: .5, advisory: true}")
    WAIVED = GATE + "waivers: [{model: zoo:a, claim: toy/claim, reason: r, owner: o, expires: 2026-04-01}]"

    @pytest.mark.parametrize("text", [ADVISORY, WAIVED], ids=["advisory", "waived"])
    @pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE", "NOT_APPLICABLE"])
    def test_its_verdict_does_not_count(self, text: str, verdict: str, tmp_path: Path) -> None:
        run = document(text, tmp_path)
        run["checks"][0]["verdict"] = verdict
        run["gates"][0]["tests"][0]["outcome"] = "skipped"
        assert verdict_of(run)[0] == "RELEASE"

    @pytest.mark.parametrize("text", [ADVISORY, WAIVED], ids=["advisory", "waived"])
    def test_nor_does_being_worse_than_before(self, text: str, tmp_path: Path) -> None:
        run = document(text, tmp_path)
        worse()(run)
        run["gates"][0]["tests"][0]["outcome"] = "skipped"
        assert verdict_of(run)[0] == "RELEASE"

    @pytest.mark.parametrize("text", [ADVISORY, WAIVED], ids=["advisory", "waived"])
    def test_but_its_test_must_not_err(self, text: str, tmp_path: Path) -> None:
        run = document(text, tmp_path)
        run["checks"][0]["verdict"] = "FAIL"
        run["gates"][0]["tests"][0]["outcome"] = "error"
        assert verdict_of(run)[0] == "INCOMPLETE"

    @pytest.mark.parametrize("text", [ADVISORY, WAIVED], ids=["advisory", "waived"])
    @pytest.mark.parametrize("outcome", ["", "deselected", "error", "skipped"])
    def test_but_it_must_be_measured(self, text: str, outcome: str, tmp_path: Path) -> None:
        run = document(text, tmp_path)
        ended(outcome)(run)
        assert verdict_of(run)[0] == "INCOMPLETE"

    def test_a_waiver_is_for_one_model_and_one_claim(self, tmp_path: Path) -> None:
        for place in (1, 2):
            run = document(self.WAIVED, tmp_path)
            run["checks"][place]["verdict"] = "FAIL"
            assert verdict_of(run)[0] == "BLOCK"

    def test_a_model_of_which_nothing_required_was_decided_is_not_released(self, tmp_path: Path) -> None:
        text = """
        claims: {toy/claim: , toy/other: {advisory: true}}
        models: [zoo:a]
        waivers: [{model: zoo:a, claim: toy/claim, reason: r, owner: o, expires: 2026-04-01}]
        """
        run = document(text, tmp_path)
        run["checks"][0]["verdict"] = "INCONCLUSIVE"
        assert verdict_of(run)[0] == "INCOMPLETE"
        assert any("none of its required claims was decided" in reason for reason in verdict_of(run)[1])


def test_pinned_weights_are_those_measured_or_there_is_no_release(tmp_path: Path) -> None:
    text = "claims: {toy/claim: }\nmodels: [{id: zoo:a, sha256: '%s'}]"
    assert verdict_of(document(text % ("0" * 64), tmp_path))[0] == "RELEASE"
    said, reasons = verdict_of(document(text % ("1" * 64), tmp_path))
    assert said == "INCOMPLETE"
    assert "the gate is for weights with sha256 111111111111..., not 000000000000..." in reasons


def test_no_change_for_the_worse_makes_a_release(tmp_path: Path) -> None:
    """All pairs of changes, each of which alone is no release, are none together either."""
    for (first, _, _), (second, _, _) in itertools.combinations(CLOSED.values(), 2):
        run = document(GATE, tmp_path)
        first(run)
        if run["checks"] and run["models"] and run["gates"][0]["tests"]:
            second(run)
        assert verdict_of(run)[0] != "RELEASE"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_gate(claims={}), "gates[0].claims is {}, not list"),
        (lambda run: run["gates"][0]["claims"][0].pop("advisory"), "gates[0].claims[0] has no 'advisory'"),
        (of_test(outcome=None), "gates[0].tests[0].outcome is None, not str"),
        (lambda run: run["gates"][0]["models"].append(3), "gates[0].models[2] is a int, not an object"),
    ],
)
def test_a_file_without_what_is_needed_is_refused(run: dict[str, Any], change: Change, said: str) -> None:
    from interp_assert.errors import UsageProblem

    change(run)
    with pytest.raises(UsageProblem) as raised:
        results(run)
    assert said in str(raised.value)
