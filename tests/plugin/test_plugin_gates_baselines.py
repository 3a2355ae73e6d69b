"""A gate in a repository with baselines: a model that is worse than it was is blocked, though its claims hold."""

from __future__ import annotations

import json

import pytest
from known_runs import Known

FILE = "release.interp.yaml"
GATE = "claims: {known/score: }\nmodels: [zoo:alpha, 'tuned=zoo:beta']\n"
HIGH = {"weights": "a", "scores": [1.0, 0.9]}
LOWER = {"weights": "b", "scores": [0.6, 0.5]}


@pytest.fixture
def known(known: Known, monkeypatch: pytest.MonkeyPatch) -> Known:
    known.say(**{"zoo:alpha": HIGH, "tuned": HIGH})
    (known.path / FILE).write_text(GATE)
    monkeypatch.setattr("known_runs.RUN", (FILE, "--interp-json=results.json"))
    return known


def verdict(result: pytest.RunResult) -> str:
    [line] = [line for line in result.outlines if line.startswith("interp: gate ")]
    return line


def test_what_is_worse_than_it_was_is_blocked_and_the_same_again_is_not(known: Known) -> None:
    assert "RELEASE" in verdict(known.run("--interp-baseline=new", status=0))
    assert sorted(path.name for path in (known.path / "interp-baselines").iterdir()) == ["tuned.json", "zoo-alpha.json"]
    known.say(**{"zoo:alpha": HIGH, "tuned": LOWER})
    for processes in ((), ("-n1",)):
        blocked = known.run(*processes)
        assert verdict(blocked).endswith("BLOCK: tuned (known/score)")
        blocked.stdout.fnmatch_lines(
            ["*known/score is worse than it was: 0.950 share before, 0.550 now, surely a loss of *"]
        )
    known.say(**{"zoo:alpha": HIGH, "tuned": HIGH})
    assert "RELEASE" in verdict(known.run(status=0))
    results = json.loads((known.path / "results.json").read_text())
    assert results["gates"][0]["verdict"] == "RELEASE"
    assert "ids" not in results["gates"][0]


def test_without_a_baseline_there_is_no_release_in_ci(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    known.run("--interp-baseline=new", status=0)
    (known.path / "interp-baselines" / "tuned.json").unlink()
    assert "RELEASE" in verdict(known.run(status=0))
    monkeypatch.setenv("CI", "true")
    result = known.run()
    assert verdict(result).endswith("INCOMPLETE: tuned (known/score)")
    result.stdout.fnmatch_lines(["*known/score has no verdict that counts: it has no baseline; make one with *"])


def test_two_models_of_one_baseline_are_not_written_over_each_other(known: Known) -> None:
    (known.path / FILE).write_text("claims: {known/score: }\nmodels: ['zoo:alpha@1', 'zoo:alpha@2']\n")
    known.say(**{"zoo:alpha@1": HIGH, "zoo:alpha@2": LOWER})
    result = known.run("--interp-baseline=new")
    result.stdout.fnmatch_lines(["*no baseline was written for zoo:alpha@2: zoo:alpha@1 and zoo:alpha@2 share one*"])
