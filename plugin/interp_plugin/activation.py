"""When the plugin wakes: if options ask for models or suites, else when a test of the user's asks for a model.

Until then this module, the options and the fixtures are all that an unused plugin imports.
"""

from __future__ import annotations

import pytest

from .options import choose
from .processes import is_distributed, is_worker

TYPE_CHECKING = False  # typing is not imported for it
if TYPE_CHECKING:
    from typing import Any

    from .gate_runs import GateRuns
    from .plan import Plan

__all__ = ["activate", "begin", "gate_runs"]

ACTIVE = pytest.StashKey[bool]()


def begin(config: pytest.Config) -> None:
    """Read the options, and wake the plugin if they ask for models or suites.

    Raises ``pytest.UsageError`` for whatever can be known to be wrong before a test is collected.
    """
    asked = any(choice.given for choice in choose(config).values()) or any(
        arg.startswith("interp") for arg in config.args
    )
    if config.getoption("help", False) or config.getoption("version", 0):
        return
    if asked and (plan := prepare(config)).active:
        if not is_worker(config):
            from .preflight import preflight

            preflight(config, plan)
        activate(config)
    elif any("interp.y" in arg for arg in config.args) and gates_are_named(config):
        activate(config)
    elif is_distributed(config):
        config.pluginmanager.register(WakeOnReport(config), "interp-wake")


def gates_are_named(config: pytest.Config) -> bool:
    """Whether an argument of the command line is a gate file, or a test of one."""
    from .gate_names import gate_arguments

    return bool(gate_arguments(config))


def prepare(config: pytest.Config) -> Plan:
    """Work out the plan of the run, once, and leave the settings where the fixtures find them."""
    from interp_fixtures.settings import SETTINGS

    from .plan import PLAN, make_plan

    if PLAN not in config.stash:
        config.stash[PLAN] = make_plan(config, choose(config))
        config.stash[SETTINGS] = config.stash[PLAN].settings
    return config.stash[PLAN]


def activate(config: pytest.Config) -> None:
    """Register the hooks that collect suites, record verdicts and report. Further calls do nothing."""
    if config.stash.get(ACTIVE, False):
        return
    config.stash[ACTIVE] = True
    from .baselines import BaselineComparison
    from .collection import SuiteCollection
    from .gate_runs import GateRuns
    from .memory import RunMemory
    from .progress import Progress
    from .verdicts import VerdictRecorder

    plan = prepare(config)
    register = config.pluginmanager.register
    gates = GateRuns(config, plan)
    register(SuiteCollection(config, plan), "interp-collection")
    register(VerdictRecorder(config, gates, Progress(config), RunMemory(config, plan)), "interp-verdicts")
    register(gates, "interp-gates")
    if plan.baseline != "off":
        register(BaselineComparison(config, plan), "interp-baselines")
    if not is_worker(config):
        from .gathering import Gathering
        from .publishing import Publishing
        from .terminal import TerminalReport

        gathering = Gathering(config, plan, gates)
        # Of two that want to be first pytest calls the later one first: results are made before they are published.
        register(Publishing(config, plan, gathering), "interp-publishing")
        register(gathering, "interp-gathering")
        register(TerminalReport(config, plan, gathering), "interp-terminal")
        if is_distributed(config):
            from .scheduling import Scheduling

            register(Scheduling(config, plan), "interp-scheduling")
        if config.pluginmanager.has_plugin("benchmark"):
            from .benchmarks import BenchmarkFacts

            register(BenchmarkFacts(gathering), "interp-benchmarks")


def gate_runs(config: pytest.Config) -> GateRuns:
    """The gates of a session that is awake."""
    runs: Any = config.pluginmanager.get_plugin("interp-gates")
    return runs


class WakeOnReport:
    """Registered on a controller of xdist whose options ask for no model. It collects nothing itself, so only the
    first report that carries verdicts tells it that a test of the user's measured one, or a worker that there was a
    gate; then it wakes the plugin and is gone."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        if hasattr(report, "interp"):
            self._wake()
            # What was registered during a call of a hook is not part of that call any more.
            gathering: Any = self.config.pluginmanager.get_plugin("interp-gathering")
            gathering.pytest_runtest_logreport(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        if getattr(node, "workeroutput", {}).get("interp_gates"):
            self._wake()
            gate_runs(self.config).from_worker(node)

    def _wake(self) -> None:
        activate(self.config)
        self.config.pluginmanager.unregister(self)
