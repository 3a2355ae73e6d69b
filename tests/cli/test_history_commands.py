"""``interp-assert track`` and ``interp-assert history``: what they write, print and refuse."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from interp_assert.assertions import assert_induction, catalogue
from interp_assert.assertions.catalogue import ask
from interp_assert.assertions.engine import whole_budget
from interp_assert.assertions.errors import InterpAssertionError
from interp_assert.assertions.recording import recording
from interp_assert.cli import main
from interp_assert.models import Model, load
from interp_assert.records import Results, model_entry
from interp_assert.records.history import append, open_history, read_claims
from interp_assert.stats import ErrorLevels, Verdict
from interp_assert.tracking import results_of


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder to work in, where induction is asked on short copies, with two twins."""

    def short(model: Model, *, seed: int, **_: Any) -> Verdict:
        return assert_induction(model, n=5, twins=2, budget=16, seed=seed)

    monkeypatch.setitem(catalogue.CLAIMS, "circuits/induction", short)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERP_HISTORY", raising=False)
    return tmp_path


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_track_appends_each_model_once_and_history_shows_them(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["track", "zoo:gpt_neox@100", "zoo:gpt_neox", "--check=circuits/induction"]
    assert main(asked) == 0
    *verdicts, last = lines(capsys)
    assert [line.split()[1:4] for line in verdicts] == [
        ["circuits/induction", "on", "zoo:gpt_neox@100:"],
        ["circuits/induction", "on", "zoo:gpt_neox:"],
    ]
    assert last == f"2 new and 0 known verdicts in {quick}/.interp-history/history.sqlite"
    assert main(asked) == 0
    assert lines(capsys)[-1].startswith("0 new and 2 known verdicts")
    assert main(["history"]) == 0
    assert lines(capsys) == ["zoo:gpt_neox: 4 runs"]
    assert main(["history", "zoo:gpt_neox"]) == 0
    title, header, _, first, second = lines(capsys)
    assert title.startswith("circuits/induction: said twice, 5 random tokens")
    assert header.split() == ["step", "weights", "commit", "first", "seen", "runs", "verdict", "value", "change"]
    assert first.split()[0] == "100"
    assert second.split()[0] == load("zoo:gpt_neox").identity.sha256[:8]


def test_a_claim_over_the_steps_of_a_training(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of verdicts made by hand."""
    history = open_history("h.sqlite")
    for step, verdict, value in ((200, "PASS", 1.0), (100, "FAIL", 0.0)):
        name = f"org/m@step{step}"
        model = {
            "id": name,
            "revision": None,
            "sha256": hashlib.sha256(name.encode()).hexdigest(),
            "architecture": "gpt2",
            "parameters": 1,
            "dtype": "float32",
            "device": "cpu",
            "threads": 1,
        }
        check = {
            "check": "circuits/\x1b[31minduction",
            "model": name,
            "claim": "it copies",
            "verdict": verdict,
            "estimate": value,
            "interval": None,
            "n": 64,
            "threshold": 0.5,
            "levels": {"pass": 0.01, "fail": 0.001, "control": 0.01},
            "details": {},
            "controls": [],
            "forward_passes": 1,
            "tokens": 1,
            "seconds": 1.0,
        }
        measured = {
            "name": "x",
            "version": 1,
            "unit": "share",
            "direction": "higher",
            "statistic": "mean",
            "lo": 0.0,
            "hi": 1.0,
            "clusters": [str(place) for place in range(64)],
            "values": [value] * 64,
        }
        git = {"commit": f"{step}" * 13 + "a", "changed": step == 200}
        run = {"versions": {}, "platform": "", "seed": 0, "started": "2026-07-01T10:00:00", "seconds": 1.0, "git": git}
        append(history, Results(run, (model,), (check,)), [[measured]], kind="track")
    assert main(["history", "org/m", "--history=h.sqlite"]) == 0
    title, _, _, *rows, told, risk = lines(capsys)
    assert title == "circuits/\\x1b[31minduction: it copies"
    assert [row.split()[0] for row in rows] == ["step100", "step200"]
    assert rows[0].split()[2:6] == ["1001001", "2026-07-01", "1", "FAIL"]
    assert rows[1].split()[2] == "2002002+"
    assert "+1.000 [0." in rows[1]
    assert told.endswith("first holds at step step200, not yet at step step100.")
    assert "at most 0.02, wrongly not to with at most 0.002" in risk


def test_the_variable_names_the_history(
    quick: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INTERP_HISTORY", "sqlite:///a b/ü.sqlite")
    open_history("sqlite:///a b/ü.sqlite").prove_writable()
    assert main(["history"]) == 0
    assert (quick / "a b" / "ü.sqlite").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["track", "zoo:nobody"], "the zoo has no model 'nobody'"),
        (["track", "zoo:gpt_neox", "--check=x/y"], "no claim 'x/y'; there are circuits/induction, lens/crossover"),
        (["track", "zoo:gpt_neox", "--budget=huge"], "unknown budget 'huge'"),
        (["track", "zoo:gpt_neox", "--history=mysql://me:secret@host/db"], "mysql://me:***@host/db: a history is"),
        (["track", "zoo:gpt_neox", "--history=file/h.sqlite"], "file/h.sqlite: its folder cannot be made"),
        (["history"], "there is no history yet"),
        (["history", "zoo:gpt_neox", "--history=file"], "file: there is no history yet"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    quick: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (quick / "file").touch()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_quick_claims_are_those_of_the_suites(tmp_path: Path) -> None:
    """So that a run of pytest and one of ``track`` know each other's verdicts."""
    from interp_suites.test_circuits import test_induction
    from interp_suites.test_lens import test_crossover

    model, settings = load("zoo:gpt_neox"), {"budget": 24, "levels": ErrorLevels(), "seed": 0}
    from_suites: list[Verdict] = []
    for test in (test_induction, test_crossover):
        with recording(from_suites.append), whole_budget(), suppress(InterpAssertionError):
            test(model, lambda _, default=None: default, settings)
    asked = ask(model, catalogue.QUICK_CLAIMS, **settings)
    history = open_history(tmp_path / "h.sqlite")
    for verdicts in (from_suites, asked):
        entry = model_entry("m", model.provenance())
        results, measured = results_of(entry, verdicts, seed=0, started=datetime.now(timezone.utc), clock=0.0)
        append(history, results, measured, kind="test")
    assert [[point.runs for point in claim.points] for claim in read_claims(history, "m")] == [[2], [2]]
