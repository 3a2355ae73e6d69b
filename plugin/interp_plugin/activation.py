"""When the plugin wakes: at configure if models or suites were asked for, else when a test of the user's asks for
``interp_model``."""

from __future__ import annotations

import pytest

from interp_fixtures.loaded import LOADED, LoadedModels
from interp_fixtures.settings import SETTINGS

from .options import choose
from .plan import PLAN, make_plan

__all__ = ["activate", "begin", "is_worker"]

ACTIVE = pytest.StashKey[bool]()


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist: it runs tests, and the controller reports."""
    return hasattr(config, "workerinput")


def is_distributed(config: pytest.Config) -> bool:
    """Whether this process is the controller of xdist: it hands out tests and collects none."""
    return not is_worker(config) and config.pluginmanager.has_plugin("xdist") and config.getoption("dist", "no") != "no"


def begin(config: pytest.Config) -> None:
    """Read the options, and wake the plugin if they ask for models or suites.

    Raises ``pytest.UsageError`` for whatever can be known to be wrong before a test is collected.
    """
    plan = make_plan(config, choose(config))
    config.stash[PLAN] = plan
    config.stash[SETTINGS] = plan.settings
    config.stash[LOADED] = LoadedModels(plan.settings)
    if config.getoption("help", False) or config.getoption("version", 0):
        return
    if not plan.active:
        if is_distributed(config):
            from .gathering import WakeOnReport

            config.pluginmanager.register(WakeOnReport(config), "interp-wake")
        return
    if not is_worker(config):
        from .preflight import preflight

        preflight(config, plan)
    activate(config)


def activate(config: pytest.Config) -> None:
    """Register the hooks that collect suites, record verdicts and report. Further calls do nothing."""
    if config.stash.get(ACTIVE, False):
        return
    config.stash[ACTIVE] = True
    from .collection import SuiteCollection
    from .progress import Progress
    from .verdicts import VerdictRecorder

    plan = config.stash[PLAN]
    register = config.pluginmanager.register
    register(SuiteCollection(config, plan), "interp-collection")
    register(VerdictRecorder(config, plan.settings, Progress(config)), "interp-verdicts")
    if not is_worker(config):
        from .gathering import Gathering
        from .scheduling import Scheduling
        from .terminal import TerminalReport

        gathering = Gathering(config, plan)
        register(gathering, "interp-gathering")
        register(TerminalReport(config, plan, gathering), "interp-terminal")
        if is_distributed(config):
            register(Scheduling(config, plan), "interp-scheduling")
        if config.pluginmanager.has_plugin("benchmark"):
            from .benchmarks import BenchmarkFacts

            register(BenchmarkFacts(gathering), "interp-benchmarks")
