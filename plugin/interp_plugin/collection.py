"""The virtual collector: shipped suites become items ``interp::circuits::test_induction[zoo:gpt2]``, wherever they
are installed."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterable, Iterator
from types import ModuleType
from typing import Any

import pytest

from interp_fixtures.loaded import loaded_models
from interp_suites import Suite

from .parametrization import model_of, uses_base, uses_model
from .plan import ROOT, Plan
from .processes import is_worker

__all__ = ["SuiteCollection", "SuiteModule", "SuiteRoot", "check_collected", "names"]


def names(pasted: str, nodeid: str) -> bool:
    """Whether a pasted id means this item: the same id, or one that stands above it.

    ``interp::circuits::test_induction[zoo:gpt2]`` is named by itself, by ``interp::circuits::test_induction`` and
    ``interp::circuits``.
    """
    return nodeid == pasted or nodeid.startswith((f"{pasted}::", f"{pasted}["))


def check_collected(
    plan: Plan,
    nodeids: Iterable[str],
    uses_a_model: bool,
    uses_ours: bool,
    uses_the_base: bool,
    has_gates: bool = False,
) -> None:
    """Raise ``pytest.UsageError`` if a pasted id names nothing, if a model was given and no test uses one, if every
    test that does takes it from elsewhere (``uses_ours`` is false), or if a base was given and no test uses it."""
    nodeids = list(nodeids)
    for pasted in plan.pasted:
        if not any(names(pasted, nodeid) for nodeid in nodeids):
            models = ", ".join(model.label for model in plan.settings.under_test)
            raise pytest.UsageError(f"not found: {pasted} (no such test for the models under test: {models})")
    if plan.must_collect and not uses_a_model:
        raise pytest.UsageError(
            f"{plan.must_collect}, but no test that was collected uses a model: with paths on the command line only "
            "those are collected; name suites too (--interp-suites=all), or write a test that takes interp_model"
        )
    if plan.chosen["model"].asked_for_this_run and uses_a_model and not uses_ours:
        chosen = plan.chosen["model"]
        if has_gates:
            raise pytest.UsageError(
                f"{chosen.source}={','.join(chosen.value)}, but a gate file names its models itself, and nothing "
                "else was collected that runs on it: leave the option out, or name suites (--interp-suites=all)"
            )
        raise pytest.UsageError(
            f"{chosen.source}={','.join(chosen.value)}, but no test that was collected runs on it: a fixture "
            "interp_model of your own (in a conftest.py) or @pytest.mark.parametrize replaces it; leave the option "
            "out, or remove that"
        )
    if plan.chosen["base"].asked_for_this_run and uses_a_model and not uses_the_base:
        chosen = plan.chosen["base"]
        if has_gates:
            raise pytest.UsageError(
                f"{chosen.source}={chosen.value}, but a gate file names its bases itself, and nothing else was "
                "collected that compares with it: leave the option out"
            )
        raise pytest.UsageError(
            f"{chosen.source}={chosen.value}, but no test that was collected compares with it: add the suite "
            "(--interp-suites=drift), or write a test that takes interp_base"
        )


class SuiteModule(pytest.Module):
    """One suite. Made by ``SuiteRoot``, which collects it inline: pytest never asks for its report, so ``--lf``
    cannot skip it as a file without failures. Its module is imported by name, and its tests are found whatever the
    user's ``python_functions`` say.
    """

    suite: Suite

    def _getobj(self) -> ModuleType:
        try:
            return importlib.import_module(self.suite.module)
        except ImportError as error:
            raise self.CollectError(f"the suite {self.suite.name} cannot be imported: {error}") from error

    def funcnamefilter(self, name: str) -> bool:
        return name.startswith("test")

    def classnamefilter(self, name: str) -> bool:
        return name.startswith("Test")


class SuiteRoot(pytest.Collector):
    """The node ``interp``, a child of the Session without a file. Added once collection of the user's paths is done."""

    plan: Plan

    def collect(self) -> Iterator[pytest.Item]:
        whole = {suite.name for suite in self.plan.suites}
        for suite in dict.fromkeys((*self.plan.suites, *self.plan.pasted_suites)):
            for item in self._items(self._module(suite)):
                if suite.name in whole or any(names(pasted, item.nodeid) for pasted in self.plan.pasted):
                    yield item

    def _module(self, suite: Suite) -> SuiteModule:
        # The root directory, not the place of the installed file: so the hooks of a conftest.py there hold for
        # suites too.
        place = self.config.rootpath
        module = SuiteModule.from_parent(self, path=place, name=suite.name, nodeid=f"{self.nodeid}::{suite.name}")
        module.suite = suite
        return module

    def _items(self, collector: pytest.Collector) -> Iterator[pytest.Item]:
        for node in collector.collect():
            if isinstance(node, pytest.Collector):
                yield from self._items(node)
            elif isinstance(node, pytest.Item):
                yield node


class SuiteCollection:
    """Adds the suites to what pytest collects, marks the tests that use a model, and says so if there are none."""

    def __init__(self, config: pytest.Config, plan: Plan) -> None:
        self.config = config
        self.plan = plan

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if isinstance(collector, pytest.Session) and report.passed and (self.plan.suites or self.plan.pasted):
            root: Any = SuiteRoot.from_parent(collector, name=ROOT, nodeid=ROOT)
            root.plan = self.plan
            report.result = [*report.result, root]
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        from .gate_runs import gate_of

        for item in items:
            if uses_model(item):
                item.add_marker("interp")
        # A worker that raised here would be an internal error: the controller checks what its workers collected
        # (scheduling.py). Under --lf pytest does not even look into files without failures.
        if not is_worker(self.config) and not session.testsfailed and not self.config.getoption("lf", False):
            ours = {model.label for model in self.plan.settings.under_test}
            outside = [item for item in items if gate_of(item) is None]
            check_collected(
                self.plan,
                [item.nodeid for item in items],
                uses_a_model=any(map(uses_model, items)),
                uses_ours=any(model_of(item) in ours for item in outside),
                uses_the_base=any(map(uses_base, outside)),
                has_gates=len(outside) < len(items),
            )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # Which of its tests a worker will run is not known here; there, a model is freed when the worker turns to
        # another one.
        if not is_worker(self.config):
            labels = [model_of(item) for item in session.items]
            loaded_models(self.config).expect([label for label in labels if label is not None])

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> str | None:
        from .gate_runs import gate_of

        if not self.plan.settings.models and any(uses_model(item) and gate_of(item) is None for item in items):
            return f"interp: no --interp-model was given, so interp_model is {self.plan.settings.default_model.label}"
        return None
