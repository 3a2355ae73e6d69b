"""Around each test that uses a model: collect its verdicts, translate them into pytest's outcomes, and send them
along with the report."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interp_fixtures.loaded import loaded_models
from interp_fixtures.settings import ASKED, RunSettings, settings_at, settings_of

from .baselines import COMPARED
from .collection import SuiteModule
from .gate_runs import gate_of
from .memory import RunMemory
from .parametrization import model_of, uses_model
from .progress import Progress
from .text import first_line, printable

if TYPE_CHECKING:
    from interp_assert.profiles import Profile
    from interp_assert.stats import Verdict

    from .gate_runs import GateRuns

__all__ = ["VerdictRecorder"]

PENDING = pytest.StashKey[list[dict[str, Any]]]()
PROFILES = pytest.StashKey[list[dict[str, Any]]]()


class VerdictRecorder:
    """Registered when the plugin wakes, in every process that runs tests.

    1. ``pytest_runtest_protocol`` listens while a test runs: every verdict that an ``assert_*`` reaches, passed or
       not, is noted, and every profile that is made. Where the run measures whole budgets, the values of each cluster
       are noted with the verdict.
    2. ``pytest_runtest_makereport`` turns exceptions into outcomes, and puts what was noted on the report as
       ``report.interp``, in builtins. pytest and xdist carry attributes of a report to the controller as they are;
       JUnit does not print them, so the XML gets properties of each verdict (``interp_assert.reports.junit``).
    3. ``pytest_report_teststatus`` gives INCONCLUSIVE a word of its own where it does not fail the run.
    """

    def __init__(self, config: pytest.Config, gates: GateRuns, progress: Progress, memory: RunMemory) -> None:
        self.config = config
        self.gates = gates
        self.settings = settings_of(config)
        self.progress = progress
        self.memory = memory

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if not uses_model(item):
            return (yield)
        from interp_assert.assertions.progress import reporting
        from interp_assert.assertions.recording import recording
        from interp_assert.profiles.listening import profiling
        from interp_assert.reports.junit import verdict_properties

        def keep(profile: Profile) -> None:
            item.stash[PROFILES].append(profile.as_dict())

        def note(verdict: Verdict) -> None:
            record = {**verdict.as_dict(), "nodeid": item.nodeid}
            if self.settings.whole_budget:
                record["measurements"] = _per_cluster(verdict)
            item.stash[PENDING].append(record)
            item.user_properties.extend(verdict_properties(record))

        item.stash[PENDING], item.stash[PROFILES] = [], []
        label = model_of(item)
        if label is not None:
            loaded_models(self.config).used(label)
        self.progress.start()
        with recording(note), profiling(keep), reporting(self.progress), _budget(self.settings), self._remembering():
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, object, object]:
        if fixturedef.argname == "interp_model":
            choice = getattr(request, "param", None)
            self.progress.loading(getattr(choice, "label", None) or self.settings.under_test[0].label)
        elif fixturedef.argname == "interp_base" and self.settings.base is not None:
            self.progress.loading(self.settings.base.label)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        if call.excinfo is not None:
            _hide_our_frames(self.config, call.excinfo)
        report = yield
        if call.excinfo is not None:
            _say_it_in_the_summary(call.excinfo, report)
        if PENDING not in item.stash:
            return report
        facts: dict[str, Any] = {"model": model_of(item), "decides": _decides(item)}
        facts["checks"], item.stash[PENDING] = item.stash[PENDING], []
        facts["profiles"], item.stash[PROFILES] = item.stash[PROFILES], []
        facts["baselines"], item.stash[COMPARED] = item.stash.get(COMPARED, []), []
        if call.excinfo is not None and not hasattr(report, "wasxfail"):
            self._translate(item, call.excinfo, report, facts)
        if gate_of(item) is not None:
            facts["gates"], facts["asked"] = self.gates.to_send(), sorted(item.stash.get(ASKED, ()))
        if call.when == "call":
            facts["models"] = loaded_models(self.config).provenance
            facts["opened"] = sorted(loaded_models(self.config).opened)
            facts["cache"] = self.memory.told()
        report.interp = facts  # type: ignore[attr-defined]
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        facts = getattr(report, "interp", {})
        if facts.get("inconclusive"):
            return "inconclusive", "i", ("INCONCLUSIVE", {"yellow": True})
        if excused := facts.get("excused"):
            return excused, excused[0], (excused.upper(), {"yellow": True})
        return None

    def _remembering(self) -> AbstractContextManager[None]:
        from interp_assert.assertions.asserting import remembering

        memory = self.memory.open()
        return nullcontext() if memory is None else remembering(memory)

    def _translate(
        self,
        item: pytest.Item,
        excinfo: pytest.ExceptionInfo[BaseException],
        report: pytest.TestReport,
        facts: dict[str, Any],
    ) -> None:
        from interp_assert.assertions.errors import InterpAssertionError, NotApplicable
        from interp_assert.errors import InterpError, ModelChanged
        from interp_assert.stats import Outcome

        error = excinfo.value
        settings, excuse = settings_at(item), _excuse(item)
        if isinstance(error, InterpAssertionError) and excuse is not None:
            facts["excused"], reason = excuse
            _skip(item, report, f"{reason}; {first_line(str(error))}")
        elif isinstance(error, NotApplicable):
            _skip(item, report, first_line(error.verdict.reason) or first_line(str(error)))
        elif isinstance(error, InterpAssertionError):
            if error.verdict.outcome is Outcome.INCONCLUSIVE and settings.inconclusive == "warn":
                _skip(item, report, first_line(str(error)))
                facts["inconclusive"] = True
            elif item.getparent(SuiteModule) is not None:
                _message_only(excinfo, report)
        elif report.failed:
            facts["error"] = first_line(str(error)) or type(error).__name__
            if isinstance(error, InterpError):
                if item.getparent(SuiteModule) is not None or report.when != "call":
                    _message_only(excinfo, report)
                if isinstance(error, ModelChanged):
                    facts["changed"] = first_line(str(error))


def _budget(settings: RunSettings) -> AbstractContextManager[None]:
    if not settings.whole_budget:
        return nullcontext()
    from interp_assert.assertions.engine import whole_budget

    return whole_budget()


def _per_cluster(verdict: Verdict) -> list[dict[str, Any]]:
    from interp_assert.records.measured import measurement_entry

    return [measurement_entry(measured) for measured in verdict.measurements]


def _excuse(item: pytest.Item) -> tuple[str, str] | None:
    """Why a claim of a gate may fail without failing the run."""
    place = gate_of(item)
    return None if place is None else place[0].excuse(place[1], place[2])


def _decides(item: pytest.Item) -> bool:
    """Whether a verdict is what this test is for: so it is in a suite that lists checks. Other tests decide by
    passing or failing."""
    module = item.getparent(SuiteModule)
    return module is not None and bool(module.suite.checks)


def _skip(item: pytest.Item, report: pytest.TestReport, reason: str) -> None:
    """What pytest.skip would have made of it, with the place of the test itself."""
    path, line, _ = item.location
    report.outcome = "skipped"
    report.longrepr = (path, (line or 0) + 1, f"Skipped: {reason}")


def _message_only(excinfo: pytest.ExceptionInfo[BaseException], report: pytest.TestReport) -> None:
    """The message alone, as for ``pytest.fail(..., pytrace=False)``: a suite's source says nothing that the message
    does not."""
    message = printable(str(excinfo.value))
    shown: Any = excinfo.getrepr(style="value", chain=False)
    for entry in shown.reprtraceback.reprentries:
        entry.lines = message.splitlines()
    if shown.reprcrash is not None:
        shown.reprcrash.message = first_line(message)
    report.longrepr = shown


def _say_it_in_the_summary(excinfo: pytest.ExceptionInfo[BaseException], report: pytest.TestReport) -> None:
    """The short summary and ``--tb=line`` begin with the name of the exception's class, which is longer than the room
    that they leave for what it says."""
    from interp_assert.assertions.errors import InterpAssertionError
    from interp_assert.errors import InterpError

    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None and isinstance(excinfo.value, (InterpAssertionError, InterpError)):
        crash.message = first_line(str(excinfo.value))


def _hide_our_frames(config: pytest.Config, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Leave the user's own lines in the traceback, and take ours out; ``--full-trace`` and ``--pdb`` keep
    everything."""
    from interp_assert.assertions.errors import InterpAssertionError
    from interp_assert.errors import InterpError

    if config.getoption("fulltrace", False) or config.getoption("usepdb", False):
        return
    if not isinstance(excinfo.value, (InterpAssertionError, InterpError)):
        return
    excinfo.value.__cause__ = None
    excinfo.value.__suppress_context__ = True
    # Filtering excinfo.traceback would not do: pytest cuts it later, and rebuilds what is left from the links
    # between frames.
    entry = excinfo.tb
    while entry.tb_next is not None:
        if _ours(Path(entry.tb_next.tb_frame.f_code.co_filename)):
            entry.tb_next = entry.tb_next.tb_next
        else:
            entry = entry.tb_next
    excinfo.traceback = type(excinfo.traceback)(excinfo.tb)


def _ours(path: Path) -> bool:
    import interp_assert

    return Path(interp_assert.__file__).parent in path.parents
