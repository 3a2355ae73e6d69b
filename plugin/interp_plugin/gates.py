"""Gate files as tests: ``release.interp.yaml::release::circuits::test_induction[zoo:gpt2]``, over the same suites as
everything else, with the models, floors and error levels of the gate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from interp_fixtures.settings import SETTINGS, ModelChoice

from .collection import SuiteModule
from .gate_runs import PLACE, GateRun

if TYPE_CHECKING:
    from interp_assert.gates import GateModel

__all__ = ["GateNode", "GateSuite"]


class GateNode(pytest.Collector):
    """The gate in the file: one module for each suite of which something is claimed."""

    run: GateRun

    @classmethod
    def made(cls, file: pytest.File, run: GateRun) -> GateNode:
        """The gate of a file."""
        node: Any = cls.from_parent(file, name=run.gate.name)
        node.run = run
        return node

    def collect(self) -> Iterator[pytest.Collector]:
        known = self.run.suites
        for name in dict.fromkeys(claim.suite for model in self.run.gate.models for claim in model.claims):
            module: Any = GateSuite.from_parent(self, path=self.path, name=name, nodeid=f"{self.nodeid}::{name}")
            module.suite, module.run = known[name], self.run
            yield module


class GateSuite(SuiteModule):
    """The claims of one suite: the test ``test_induction`` decides ``circuits/induction``, once for each model of which
    the gate claims it. Other tests of the suite are left alone."""

    run: GateRun

    def claimed(self) -> dict[str, str]:
        """Checks by the name of the test that decides each."""
        checks = (claim.check for model in self.run.gate.models for claim in model.claims)
        return {f"test_{c.partition('/')[2]}": c for c in checks if c in self.suite.checks}

    def models(self, test: str) -> list[GateModel]:
        """Those that are claimed to pass a test, in the order of the file."""
        check = self.claimed()[test]
        return [model for model in self.run.gate.models if any(claim.check == check for claim in model.claims)]

    def choices(self, test: str) -> list[tuple[ModelChoice, ModelChoice | None]]:
        """The models that a test runs on, each with its base."""
        return [
            (ModelChoice(model.id, model.label), None if model.base is None else ModelChoice(*model.base))
            for model in self.models(test)
        ]

    def funcnamefilter(self, name: str) -> bool:
        return name in self.claimed()

    def classnamefilter(self, name: str) -> bool:
        return False

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        found = list(super().collect())
        claimed = self.claimed()
        missing = set(claimed) - {getattr(item, "originalname", None) for item in found}
        if missing:
            test = min(missing)
            raise self.CollectError(
                f"{self.run.gate.shown}: the suite {self.suite.name} has no {test}, which would decide {claimed[test]}"
            )
        for item in found:
            check, callspec = claimed[getattr(item, "originalname", "")], getattr(item, "callspec", None)
            choice = None if callspec is None else callspec.params.get("interp_model")
            if not isinstance(choice, ModelChoice):
                raise self.CollectError(
                    f"{self.run.gate.shown}: {item.nodeid} does not run on the gate's models: a fixture interp_model "
                    "of your own (in a conftest.py) replaces them, or the test does not take interp_model"
                )
            item.stash[SETTINGS] = self.run.settings_for(choice.label, check)
            item.stash[PLACE] = self.run, choice.label, check
            self.run.add_test(item.nodeid, choice.label, check)
        yield from found
