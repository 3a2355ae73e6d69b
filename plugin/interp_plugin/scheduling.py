"""Under pytest-xdist: one worker per model, because a model costs more to load than most tests cost to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from interp_fixtures.settings import RunSettings

from .collection import check_collected
from .gate_names import is_gate_file
from .plan import ROOT, Plan

DESELECTING = ("keyword", "markexpr", "deselect", "lf", "stepwise")

__all__ = ["ModelScheduling", "Scheduling", "model_in_id"]


def model_in_id(nodeid: str, settings: RunSettings) -> str | None:
    """The model in the brackets of a node id, alone or beside the user's own parameters.

    ::

        interp::circuits::test_induction[zoo:gpt2]     -> zoo:gpt2
        tests/test_mine.py::test_it[zoo:gpt2-en-3]     -> zoo:gpt2
        tests/test_mine.py::test_it[en-3]              -> None
    """
    parameters = nodeid.partition("[")[2].rpartition("]")[0]
    for label in sorted((model.label for model in settings.under_test), key=len, reverse=True):
        escaped = label.encode("unicode_escape").decode("ascii")  # as pytest writes it into ids
        if f"-{escaped}-" in f"-{parameters}-":
            return label
    return None


class ModelScheduling(LoadScopeScheduling):
    """Gives all tests of a model to one worker; a single model is spread by suite; ``--dist`` holds for all other
    tests.

    xdist's own ``xdist_group`` marks cannot do this: they have no effect with pytest 9.2 and xdist 3.8 (xdist issue
    1386).
    """

    def __init__(self, config: pytest.Config, log: Any, settings: RunSettings) -> None:
        super().__init__(config, log)
        self.settings = settings
        self.dist = config.getvalue("dist")

    def remove_node(self, node: Any) -> str | None:
        """A worker is gone; the test that it crashed in, if there was one, is not run again.

        xdist would repeat that test until no more workers may be started, and hand out again what was finished: a
        worker that is given nothing but that waits for ever.
        """
        workload = self.assigned_work.pop(node)
        crashed = next((test for unit in workload.values() for test, done in unit.items() if not done), None)
        if crashed is None:
            return None
        for scope, unit in workload.items():
            left = {test: done or test == crashed for test, done in unit.items()}
            if not all(left.values()):
                self.workqueue[scope] = left
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed

    def schedule(self) -> None:
        """Hand out tests; also to a worker that replaces another. xdist gives that one a single unit, and with a single
        test in it the worker would wait for the next one before it runs it."""
        replaced = self.collection is not None
        super().schedule()
        if replaced:
            for node in self.nodes:
                self._reschedule(node)

    def _scope_in_gate(self, nodeid: str, path: str) -> str:
        """A gate's models are in its ids alone: the controller reads no gate file."""
        models = {each.partition("[")[2] for each in self.collection or () if _is_gates(each)}
        return f"model {nodeid.partition('[')[2].removesuffix(']')}" if len(models) > 1 else path.rpartition("::")[0]

    def _split_scope(self, nodeid: str) -> str:
        """The unit of work that a test belongs to.

        ::

            release.interp.yaml::release::circuits::test_induction[zoo:gpt2]   the same, counting the gate's models
            interp::circuits::test_induction[zoo:gpt2]   several models: "model zoo:gpt2"; one: "interp::circuits"
            tests/test_mine.py::TestA::test_it[en]       loadscope: tests/test_mine.py::TestA; loadfile:
            tests/test_mine.py;
                                                         loadgroup: what follows "@"; load and worksteal: the test
                                                         itself
        """
        path = nodeid.partition("[")[0]
        if _is_gates(nodeid):
            return self._scope_in_gate(nodeid, path)
        model = model_in_id(nodeid, self.settings)
        if model is not None and len(self.settings.under_test) > 1:
            return f"model {model}"
        if path.startswith(f"{ROOT}::") or self.dist == "loadscope":
            return path.rpartition("::")[0]
        if self.dist == "loadfile":
            return path.partition("::")[0]
        group = nodeid.rpartition("]")[2].rpartition("@")
        return f"group {group[2]}" if self.dist == "loadgroup" and group[1] else nodeid


def _is_gates(nodeid: str) -> bool:
    """Whether a test is part of a gate: its file is called so."""
    return is_gate_file(nodeid.partition("::")[0].rpartition("/")[2])


class Scheduling:
    """Registered on the controller when xdist distributes tests: makes the scheduler, and checks what the workers
    collected."""

    def __init__(self, config: pytest.Config, plan: Plan) -> None:
        self.config = config
        self.plan = plan

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> ModelScheduling | None:
        # "each" runs every test on every worker: there is nothing to distribute.
        return None if config.getvalue("dist") == "each" else ModelScheduling(config, log, self.plan.settings)

    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        session: Any = self.config.pluginmanager.get_plugin("session")
        # Workers tell what is left after deselection, so what was collected is known only where nothing deselects.
        if session.testsfailed or any(self.config.getoption(name, None) for name in DESELECTING):
            return
        of_gates = {nodeid for nodeid in ids if _is_gates(nodeid)}
        uses_ours = any(model_in_id(nodeid, self.plan.settings) for nodeid in ids if nodeid not in of_gates)
        uses_a_model = uses_ours or bool(of_gates) or any(nodeid.startswith(f"{ROOT}::") for nodeid in ids)
        # What a test of the user's takes is not known here.
        with_base = [f"{ROOT}::{suite.name}::" for suite in self.plan.known_suites.values() if suite.needs_base]
        uses_the_base = any(
            nodeid not in of_gates and (not nodeid.startswith(f"{ROOT}::") or nodeid.startswith(tuple(with_base)))
            for nodeid in ids
        )
        check_collected(
            self.plan,
            ids,
            uses_a_model=uses_a_model,
            uses_ours=uses_ours,
            uses_the_base=uses_the_base,
            has_gates=bool(of_gates),
        )
