"""What became of every gate file of a run, in each process: which tests it has, and how each ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interp_fixtures.settings import ModelChoice, RunSettings

from .plan import Plan
from .processes import is_worker
from .text import first_line, printable

if TYPE_CHECKING:
    from interp_assert.gates import Gate
    from interp_suites import Suite

__all__ = ["PLACE", "GateRun", "GateRuns", "gate_of"]

PLACE = pytest.StashKey["tuple[GateRun, str, str]"]()
"""of a test of a gate: the gate, its model and its check"""

_WORST = ("", "passed", "skipped", "failed", "error")
"""outcomes of a test; where it ran more than once the last in this order counts, so that no rerun makes one good"""


def gate_of(item: pytest.Item) -> tuple[GateRun, str, str] | None:
    """The gate that a test is part of, its model and its check; None for every other test."""
    return item.stash.get(PLACE, None)


class GateRun:
    """One gate as it is run in this process."""

    def __init__(self, gate: Gate, node: str, plan: Plan) -> None:
        self.gate = gate
        self.node = f"{node}::{gate.name}"
        self.suites: dict[str, Suite] = dict(plan.known_suites)
        self.tests: dict[str, dict[str, Any]] = {}
        self._settings = plan.settings

    def settings_for(self, label: str, check: str) -> RunSettings:
        """What a test of the gate is told: the gate's own settings, never those of options, except for where and how
        the model runs."""
        model = next(model for model in self.gate.models if model.label == label)
        claim = next(claim for claim in model.claims if claim.check == check)
        return replace(
            self._settings,
            models=(ModelChoice(model.id, model.label),),
            base=None if model.base is None else ModelChoice(*model.base),
            floors={} if claim.floor is None else {check: claim.floor},
            sites={} if claim.site is None else {check: claim.site},
            coder=None if model.coder is None else (None, model.coder),
            budget=claim.budget,
            alpha_pass=claim.alpha_pass,
            alpha_fail=claim.alpha_fail,
            alpha_control_fail=claim.alpha_control_fail,
            seed=self._settings.seed if self.gate.seed is None else self.gate.seed,
            inconclusive="fail",
        )

    def excuse(self, label: str, check: str) -> tuple[str, str] | None:
        """Why a claim may fail without failing the run: ("advisory" or "waived", the reason); None if it may not."""
        for model in self.gate.models:
            for claim in model.claims:
                if (model.label, claim.check) == (label, check):
                    if claim.advisory:
                        return "advisory", "advisory"
                    if claim.waiver is not None:
                        waiver = claim.waiver
                        return "waived", f"waived until {waiver.expires} by {waiver.owner}: {waiver.reason}"
        return None

    def add_test(self, nodeid: str, model: str, check: str) -> None:
        """A test was collected."""
        self.tests[nodeid] = {
            "nodeid": nodeid,
            "model": model,
            "check": check,
            "outcome": "",
            "message": "",
            "asked": [],
        }

    def as_dict(self) -> dict[str, Any]:
        """Builtins: the gate's entry in the results file, and what a worker tells the controller. ``ids`` are by label,
        and stay out of the file: those of directories say where they lie."""
        return {
            **self.gate.as_dict(),
            "ids": {model.label: model.id for model in self.gate.models},
            "node": self.node,
            "problem": "",
            "tests": [dict(test) for test in self.tests.values()],
        }


class GateRuns:
    """All gates of a session.

    1. ``seen`` is told of every gate file that collection comes across, ``opened`` reads one.
    2. Every process notes the tests that it collected and those that were deselected. Workers of xdist send that along:
       with the first report of a gate's test, and when they end, in case there is none.
    3. The process that reports hears how each test ended (``heard``); ``entries`` is what the results file says.
    """

    def __init__(self, config: pytest.Config, plan: Plan) -> None:
        self.config = config
        self.plan = plan
        self.runs: dict[str, GateRun] = {}
        self.files: dict[str, Path] = {}
        self.told: dict[str, dict[str, Any]] = {}
        self.torn: set[str] = set()
        self.ends: dict[str, dict[str, Any]] = {}
        self.sent = False

    def __bool__(self) -> bool:
        return bool(self.files or self.told)

    def seen(self, path: Path, nodeid: str) -> None:
        """A gate file will be collected, unless something (``--lf``, ``-x``) keeps pytest from it."""
        self.files[nodeid] = path

    def opened(self, path: Path, nodeid: str) -> GateRun:
        """Read a gate file and look at its models. Raises ``GateProblem``."""
        from interp_assert.gates import read_gate, resolve

        if nodeid not in self.runs:
            shown = _shown(path, self.config.invocation_params.dir)
            written = read_gate(path, shown)
            today = datetime.now(timezone.utc).date()
            gate = resolve(written, self.plan.known_suites, path.parent, today)
            self._look_at_names(gate)
            if not is_worker(self.config):
                self._look_at_models(gate)
            self.runs[nodeid] = GateRun(gate, nodeid, self.plan)
        return self.runs[nodeid]

    def _look_at_names(self, gate: Gate) -> None:
        """One name must not stand for two models in one run."""
        from interp_assert.gates import GateProblem

        chosen = self.plan.settings
        ids = {choice.label: choice.id for choice in (*chosen.models, *filter(None, (chosen.base,)))}
        for run in self.runs.values():
            ids.update((label, id) for _, id, label in _models_of(run.gate))
        for where, id, label in _models_of(gate):
            if ids.setdefault(label, id) != id:
                problem = f"{label} is {ids[label]} elsewhere in this run, and {id} here; give it another name:"
                raise GateProblem(where, None, problem)

    def _look_at_models(self, gate: Gate) -> None:
        """Each must open."""
        from interp_assert import models
        from interp_assert.errors import UsageProblem
        from interp_assert.gates import GateProblem

        chosen = self.plan.settings
        for where, id, _ in _models_of(gate):
            try:
                models.preflight(
                    id, device=chosen.device, dtype=chosen.dtype, trust_remote_code=chosen.trust_remote_code
                )
            except UsageProblem as problem:
                raise GateProblem(where, None, printable(str(problem))) from None

    def heard(self, report: Any) -> None:
        """Note how a test ended. Once it was not good it stays so."""
        facts = getattr(report, "interp", None) or {}
        for told in facts.get("gates", ()):
            self._is_told(told, last=False)
        if report.when not in ("setup", "call", "teardown") and not report.failed:
            return
        end = self.ends.setdefault(report.nodeid, {"outcome": "", "message": "", "asked": set()})
        end["asked"].update(facts.get("asked", ()))
        outcome = _outcome(report)
        if report.when != "call" and outcome == "passed":
            return  # a test that was only set up has not passed
        if _WORST.index(outcome) > _WORST.index(end["outcome"]):
            end["outcome"], end["message"] = outcome, "" if outcome == "passed" else _message(report)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        gone = {item.nodeid for item in items}
        for run in self.runs.values():
            for nodeid in gone & run.tests.keys():
                run.tests[nodeid]["outcome"] = "deselected"

    def to_send(self) -> list[dict[str, Any]]:
        """In a worker: the gates, once."""
        first, self.sent = not self.sent, True
        return self._collected() if first and is_worker(self.config) else []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        if is_worker(self.config):
            output: dict[str, Any] = self.config.workeroutput  # type: ignore[attr-defined]
            output["interp_gates"] = self._collected()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.from_worker(node)

    def from_worker(self, node: Any) -> None:
        """On the controller: what a worker told when it ended. A worker that crashed tells nothing."""
        for told in getattr(node, "workeroutput", {}).get("interp_gates", ()):
            # Only now is everything collected, and what was deselected known.
            self._is_told(told, last=True)

    def _is_told(self, gate: dict[str, Any], *, last: bool) -> None:
        before = self.told.get(gate["node"], gate)
        self.told[gate["node"]] = gate if last else before
        if before.get("sha256") != gate.get("sha256"):
            self.torn.add(gate["node"])

    def entries(self) -> list[dict[str, Any]]:
        """Every gate with the outcome of each of its tests, for the results file."""
        gates = [{key: value for key, value in gate.items() if key != "ids"} for gate in self._all()]
        torn = "the file changed during the run: not all workers read the same gate"
        for gate in gates:
            gate["tests"] = [self._ended(test) for test in gate["tests"]]
            gate["problem"] = gate["problem"] or (torn if gate["node"] in self.torn else "")
        return gates

    def choices(self) -> list[ModelChoice]:
        """The models of all gates."""
        return [ModelChoice(id, label) for gate in self._all() for label, id in gate["ids"].items()]

    def _all(self) -> list[dict[str, Any]]:
        return list({told["node"]: told for told in (*self.told.values(), *self._collected())}.values())

    def _ended(self, test: dict[str, Any]) -> dict[str, Any]:
        end = self.ends.get(test["nodeid"])
        if end is None:
            return test
        return {**test, "outcome": end["outcome"], "message": end["message"], "asked": sorted(end["asked"])}

    def _collected(self) -> list[dict[str, Any]]:
        return [self._entry(nodeid, path) for nodeid, path in self.files.items()]

    def _entry(self, nodeid: str, path: Path) -> dict[str, Any]:
        """The gate of a file, also if pytest never came to collect it."""
        from interp_assert.gates import GateProblem
        from interp_assert.gates.file_names import name_of

        try:
            entry = self.opened(path, nodeid).as_dict()
        except GateProblem as problem:
            shown = _shown(path, self.config.invocation_params.dir)
            return {
                "name": name_of(path.name),
                "file": shown,
                "line": problem.line,
                "node": nodeid,
                "ids": {},
                "problem": str(problem),
                "false_alarms": None,
                "models": [],
                "claims": [],
                "tests": [],
            }
        if not entry["tests"]:
            entry["problem"] = "none of its tests was collected: the run ended before it, or left the file out (--lf)"
        return entry


def _models_of(gate: Gate) -> list[tuple[str, str, str]]:
    """(place in the file, id, label) of every model of a gate, and of every base."""
    found = []
    for model in gate.models:
        for id, label in ((model.id, model.label), *filter(None, (model.base,))):
            found.append((f"{gate.shown}: {gate.places[model.label]}", id, label))
    return found


def _outcome(report: Any) -> str:
    if hasattr(report, "wasxfail"):
        return "failed"  # an expected failure is none that a gate expects
    if report.outcome == "rerun":
        return "failed"
    return "error" if report.failed and report.when != "call" else str(report.outcome)


def _message(report: Any) -> str:
    """What a report says in one line."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return first_line(str(longrepr[2]).removeprefix("Skipped: "))
    crash = getattr(longrepr, "reprcrash", None)
    return first_line(str(crash.message if crash is not None else longrepr or ""))


def _shown(path: Path, start: Path) -> str:
    """The file as somebody in ``start`` would write it."""
    try:
        return path.relative_to(start).as_posix()
    except ValueError:
        return path.as_posix()
