"""On the controller: gather what the reports carry, and make the results document of the run."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .plan import Plan

if TYPE_CHECKING:
    from interp_assert.gates import GateVerdict
    from interp_assert.records import Results

    from .gate_runs import GateRuns

__all__ = ["Gathering"]


class Gathering:
    """Registered on the process that reports: the only one, or the controller of xdist.

    1. Made when the plugin wakes; from then on the clock runs.
    2. ``pytest_runtest_logreport`` takes verdicts, profiles, models and errors from each report.
    3. ``pytest_sessionfinish`` makes ``results`` (see ``interp_assert.records``), writes them if a file was asked
       for, appends them to a history if there is one, and turns a run in which nothing was decided into a failing
       one. A run that was broken off leaves no results, no file and no trace in the history.
    """

    def __init__(self, config: pytest.Config, plan: Plan, gates: GateRuns) -> None:
        self.config = config
        self.plan = plan
        self.gates = gates
        self.started = datetime.now(timezone.utc)
        self.clock = time.monotonic()
        self.checks: list[dict[str, Any]] = []
        self.profiles: list[dict[str, Any]] = []
        self.models: dict[str, dict[str, Any]] = {}
        self.baselines: list[dict[str, Any]] = []
        self.not_measured: dict[str, list[str]] = {}
        self.changed: dict[str, str] = {}
        self.opened: set[str] = set()
        self.distrusted = 0
        self.not_kept: dict[str, None] = {}
        self.errors: list[dict[str, str]] = []
        self.outcomes = {"passed": 0, "failed": 0, "skipped": 0, "inconclusive": 0, "error": 0}
        self.decided = False
        self.skipped: Counter[str] = Counter()
        self.results: Results | None = None
        self.gate_verdicts: tuple[GateVerdict, ...] = ()
        self.gate_entries: list[dict[str, Any]] = []
        self.written = False
        self.kept: list[str] = []
        self.notes: list[str] = []
        self.appended: str | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        self.gates.heard(report)
        facts = getattr(report, "interp", None)
        if facts is None:
            return
        self.checks.extend(facts["checks"])
        self.profiles.extend(facts["profiles"])
        self.baselines.extend(facts["baselines"])
        self.models.update(facts.get("models", {}))
        self.opened.update(facts.get("opened", ()))
        if "cache" in facts:
            self.distrusted += facts["cache"]["distrusted"]
            if facts["cache"]["problem"] is not None:
                self.not_kept[facts["cache"]["problem"]] = None
        if "changed" in facts:
            self.changed[facts["model"]] = facts["changed"]
        if "error" in facts:
            self.errors.append({"nodeid": report.nodeid, "when": report.when, "message": facts["error"]})
        if report.when == "call" or report.failed or report.skipped:
            self.outcomes[_outcome(report, facts)] += 1
        if report.skipped and not facts["checks"] and isinstance(report.longrepr, tuple):
            self.skipped[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1
        if facts["decides"]:
            self.decided |= any(check["verdict"] in ("PASS", "FAIL") for check in facts["checks"])
        else:
            self.decided |= report.when == "call" and report.outcome in ("passed", "failed")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
        finished = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        # Under xdist -x and --maxfail end a run as an interruption does.
        finished |= exitstatus == pytest.ExitCode.INTERRUPTED and bool(session.shouldfail)
        if self.gates and not self.config.getoption("collectonly"):
            finished |= exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
            self._decide_gates(session, finished)
        if not finished or not (any(self.outcomes.values()) or self.gate_verdicts):
            if self.plan.json is not None and not self.config.getoption("collectonly"):
                self.notes.append(
                    f"no results were written to {self.plan.json}: the run was broken off or ran no such test"
                )
            if self.plan.history is not None and not self.config.getoption("collectonly"):
                self.notes.append("nothing was appended to the history: the run was broken off or ran no such test")
            return
        if not self.decided:
            self.notes.append(
                "nothing was decided or measured: no claim reached PASS or FAIL, so this run is not a success"
            )
            self.notes += [f"skipped {count}: {reason}" for reason, count in self.skipped.items()]
            if exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.plan.baseline in ("new", "update"):
            self._write_baselines(session)
        if self.plan.baseline != "off":
            self._look_for_what_was_not_measured()
        self.results = self._document(session, self.gate_entries)
        if self.plan.json is not None:
            self._write(self.results, session, self.plan.json)
        if self.plan.history is not None:
            self._append(self.results, session, self.plan.history)

    def provenance(self) -> dict[str, Any]:
        """What decides the numbers of this run besides its models."""
        from interp_assert.records.provenance import run_provenance

        chosen = self.plan.chosen
        return {
            **run_provenance(self.config.invocation_params.dir),
            "seed": self.plan.settings.seed,
            "options": {name: _listed(choice.value) for name, choice in chosen.items()},
            "option_sources": {name: choice.source for name, choice in chosen.items()},
            "argv": [str(arg) for arg in self.config.invocation_params.args],
        }

    def _decide_gates(self, session: pytest.Session, finished: bool) -> None:
        """The verdict on each gate, by the one function that reads it off the results; the exit status follows."""
        from interp_assert.gates import Release, decide_all

        entries = self.gates.entries()
        if not finished:
            broken_off = "the run was broken off, so nothing counts"
            entries = [{**entry, "problem": entry["problem"] or broken_off} for entry in entries]
        self.gate_verdicts = decide_all(self._document(session, entries))
        said = {verdict.name + verdict.file: str(verdict.says) for verdict in self.gate_verdicts}
        self.gate_entries = [{**entry, "verdict": said[entry["name"] + entry["file"]]} for entry in entries]
        if any(verdict.says is not Release.RELEASE for verdict in self.gate_verdicts) and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _document(self, session: pytest.Session, gates: list[dict[str, Any]]) -> Results:
        from interp_assert.records.results import Results, model_entry

        run = {
            **self.provenance(),
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": time.monotonic() - self.clock,
            "tests": dict(self.outcomes),
            "errors": self.errors,
            "base": None if self.plan.settings.base is None else self.plan.settings.base.label,
            "remembered": {
                "claims": sum(check["remembered"] is not None for check in self.checks),
                "of": len(self.checks),
                "opened": sorted(self.opened),
                "distrusted": self.distrusted,
                "not_kept": list(self.not_kept),
            },
            "not_measured": self.not_measured,
            "complete": not (session.shouldfail or session.shouldstop),
            "notes": list(self.notes),
        }
        # Workers of xdist finish in any order; the document has the order in which the models were asked for.
        of_gates = (model["model"] for gate in gates for model in gate["models"])
        asked = (*(model.label for model in self.plan.settings.models), *of_gates)
        labels = dict.fromkeys((*asked, *self.models))
        order = {label: place for place, label in enumerate(labels)}
        models = [
            model_entry(label, self.models[label], self.changed.get(label)) for label in labels if label in self.models
        ]
        self.checks.sort(key=lambda check: (order.get(check["model"], len(order)), check["nodeid"]))
        checks = [{key: check[key] for key in check if key != "measurements"} for check in self.checks]
        profiles = sorted(self.profiles, key=lambda profile: order.get(profile["model"], len(order)))
        self.baselines.sort(key=lambda entry: (order.get(entry["model"], len(order)), entry["key"]))
        parts = (models, checks, profiles, self.baselines, gates)
        return Results(run, *(tuple(part) for part in parts))

    def _look_for_what_was_not_measured(self) -> None:
        from .baselines import not_measured

        choices = dict.fromkeys((*self.plan.settings.under_test, *self.gates.choices()))
        self.not_measured = not_measured(self.plan, [*choices], self.baselines)

    def _write_baselines(self, session: pytest.Session) -> None:
        from .baselines import BaselineWriter

        writer = BaselineWriter(self.plan, self.gates.choices())
        still = {label: facts for label, facts in self.models.items() if label not in self.changed}
        put = writer.write(self.checks, still)
        fresh = {(entry["model"], entry["key"]) for entry in put}
        self.baselines = [e for e in self.baselines if (e["model"], e["key"]) not in fresh] + put
        self.kept += writer.written
        self.notes += writer.problems
        if writer.problems:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _write(self, results: Results, session: pytest.Session, path: Path) -> None:
        from interp_assert.records.results import write_results

        try:
            write_results(results, path)
            self.written = True
        except OSError as error:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self.notes.append(f"the results could not be written to {path}: {error.strerror or error}")

    def _append(self, results: Results, session: pytest.Session, url: str) -> None:
        from interp_assert.errors import UsageProblem
        from interp_assert.records.history import append, open_history

        try:
            history = open_history(url, self.config.invocation_params.dir)
            done = append(history, results, [check.get("measurements", ()) for check in self.checks], kind="pytest")
        except UsageProblem as problem:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self.notes.append(f"the run could not be appended to the history {problem}")
            return
        self.appended = f"{done.new} new and {done.known} known verdicts in the history {history.path}"
        if done.left_out:
            self.appended += f"; {done.left_out} left out, on models without weights of their own or that changed"


def _outcome(report: Any, facts: dict[str, Any]) -> str:
    if facts.get("inconclusive"):
        return "inconclusive"
    return "error" if report.failed and report.when != "call" else str(report.outcome)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
