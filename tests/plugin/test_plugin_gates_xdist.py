"""Gate files under pytest-xdist: the controller collects nothing, and must not be told less than one process knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from interp_assert.records import read_results

FILE = "release.interp.yaml"
GATE = "suites: [toy]\nmodels: [zoo:a, zoo:b, zoo:c]\n"

Noted = Callable[[str], list[str]]
Decisions = Callable[..., None]


@pytest.fixture
def gate(toy: pytest.Pytester) -> pytest.Pytester:
    (toy.path / FILE).write_text(GATE)
    return toy


def last_of(result: pytest.RunResult) -> str:
    [line] = [line for line in result.outlines if line.startswith("interp: gate ")]
    return line


def test_eight_workers_reach_the_verdict_of_one_and_load_each_model_once(
    gate: pytest.Pytester, decisions: Decisions, noted: Noted
) -> None:
    decisions(**{"zoo:b": "FAIL"})
    result = gate.runpytest(FILE, "-n8", "--interp-json=out.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=4, failed=2)
    assert last_of(result).endswith("BLOCK: zoo:b (toy/claim, toy/other)")
    loads = defaultdict(list)
    for line in noted("loads.txt"):
        worker, model = line.split()
        loads[model].append(worker)
    assert {model: len(workers) for model, workers in loads.items()} == {"zoo:a": 1, "zoo:b": 1, "zoo:c": 1}
    results = read_results(gate.path / "out.json")
    assert [model["id"] for model in results.models] == ["zoo:a", "zoo:b", "zoo:c"]
    [entry] = results.gates
    assert entry["verdict"] == "BLOCK"
    assert len(entry["tests"]) == 6


@pytest.mark.parametrize("named", [FILE, "."], ids=["the file is named", "the file is found"])
def test_a_gate_of_which_nothing_runs_is_incomplete(gate: pytest.Pytester, named: str) -> None:
    gate.makepyfile(test_mine="def test_mine(): pass")
    result = gate.runpytest(named, "-n1", "-k", "mine")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "INCOMPLETE: zoo:a (toy/claim, toy/other); zoo:b" in last_of(result)


def test_so_is_one_whose_worker_crashes(gate: pytest.Pytester) -> None:
    gate.makepyfile(
        toy_suite="""
        import os
        from stand_in import decide

        def test_claim(interp_model, interp_settings):
            if interp_model.id == "zoo:b":
                os._exit(1)
            decide(interp_model, "toy/claim", None, interp_settings)

        def test_other(interp_model, interp_settings):
            decide(interp_model, "toy/other", None, interp_settings)
        """
    )
    result = gate.runpytest(FILE, "-n1")  # whose replacement must go on, and not crash at the same test
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=5, failed=1)
    assert last_of(result).endswith("INCOMPLETE: zoo:b (toy/claim)")
    result.stdout.fnmatch_lines(["*toy/claim has no verdict that counts: its test ended in an error: *crashed*"])


def test_and_one_that_a_failure_ends(gate: pytest.Pytester, decisions: Decisions) -> None:
    decisions(**{"zoo:a toy/claim": "NOT_APPLICABLE", "zoo:a toy/other": "INCONCLUSIVE"})
    result = gate.runpytest(FILE, "-n1", "-x")
    assert result.ret != 0
    assert "INCOMPLETE: zoo:a (toy/claim, toy/other)" in last_of(result)


def test_a_bad_file_is_one_line_and_no_success(gate: pytest.Pytester) -> None:
    (gate.path / FILE).write_text("modles: []")
    result = gate.runpytest(FILE, "-n1")
    assert result.ret not in (0, pytest.ExitCode.INTERNAL_ERROR)
    result.stdout.fnmatch_lines([f"{FILE}:1:1: unknown key 'modles'; did you mean 'models'?*"])
    assert "Traceback" not in result.stdout.str()


def test_one_name_for_two_models_is_refused_by_workers_too(gate: pytest.Pytester) -> None:
    for place in ("a", "b"):
        (gate.path / place / "m").mkdir(parents=True)
        (gate.path / place / "g.interp.yaml").write_text("suites: [toy]\nmodels: [./m]\n")
    result = gate.runpytest("a/g.interp.yaml", "b/g.interp.yaml", "-n1")
    assert result.ret not in (0, pytest.ExitCode.INTERNAL_ERROR)
    result.stdout.fnmatch_lines(["b/g.interp.yaml: models?0? (line 2): m is * elsewhere in this run, and *"])


def test_workers_that_read_different_gates_release_nothing(gate: pytest.Pytester) -> None:
    gate.makepyfile(
        conftest=f"""
        import os, pathlib, time
        from stand_in import pytest_configure, pytest_interp_suites

        GATE, EDITED = pathlib.Path("{FILE}"), pathlib.Path("edited")

        def pytest_sessionstart(session):
            while os.environ.get("PYTEST_XDIST_WORKER") == "gw1" and not EDITED.exists():
                time.sleep(0.01)

        def pytest_collection_finish(session):
            if os.environ.get("PYTEST_XDIST_WORKER") == "gw0":
                GATE.write_text(GATE.read_text() + "levels: {{pass: 0.4}}")
                EDITED.touch()
        """
    )
    result = gate.runpytest(FILE, "-n2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=6)
    assert last_of(result).endswith("INCOMPLETE: the file changed during the run: not all workers read the same gate")


def test_every_worker_that_runs_everything_must_agree(gate: pytest.Pytester) -> None:
    result = gate.runpytest(FILE, "-n2", "--dist=each")
    assert result.ret == 0
    result.assert_outcomes(passed=12)
    assert "RELEASE: 6 required claims on 3 models" in last_of(result)
