"""Reports for machines and reviewers: Markdown, the summary of a step on GitHub, its annotations, JUnit properties; all
from the results document."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .plan import Plan

if TYPE_CHECKING:
    from interp_assert.records import Results

    from .gathering import Gathering

__all__ = ["Publishing"]

SUMMARY = "GITHUB_STEP_SUMMARY"
SUMMARY_BYTES = 1024 * 1024
"""GitHub drops a summary that is longer, all of it"""


class Publishing:
    """Registered beside ``Gathering``, whose results it reads once they are made; before pytest writes its XML."""

    def __init__(self, config: pytest.Config, plan: Plan, gathering: Gathering) -> None:
        self.config = config
        self.plan = plan
        self.gathering = gathering
        self.written: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        results = self.gathering.results
        if results is None:
            if self.plan.markdown is not None and not self.config.getoption("collectonly"):
                self.gathering.notes.append(f"no report was written to {self.plan.markdown}, as there are no results")
            return
        self._properties(results)
        if self.plan.markdown is not None:
            self._markdown(results, session, self.plan.markdown)
        if os.environ.get(SUMMARY):
            self._summary(results, Path(os.environ[SUMMARY]))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for line in self.written:
            terminalreporter.write_line(line)
        if os.environ.get("GITHUB_ACTIONS") == "true" and self.gathering.gate_verdicts:
            from interp_assert.reports.annotations import gate_annotations

            terminalreporter.ensure_newline()
            for command in gate_annotations(self.gathering.gate_verdicts, self._folder()):
                terminalreporter.write_line(command)

    def _folder(self) -> str:
        """Where the run was started, as seen from the top of the repository."""
        top = os.environ.get("GITHUB_WORKSPACE")
        start = self.config.invocation_params.dir.resolve()
        if not top or not start.is_relative_to(Path(top).resolve()):
            return ""
        return start.relative_to(Path(top).resolve()).as_posix().removeprefix(".")

    def _properties(self, results: Results) -> None:
        """Of the whole suite: what was measured, and what the gates say. (Each test has one for each verdict.)"""
        xml = next((p for p in self.config.pluginmanager.get_plugins() if hasattr(p, "add_global_property")), None)
        if xml is None:
            return
        from interp_assert.gates import decide_all
        from interp_assert.reports.gates import gate_headline

        run = results.run
        xml.add_global_property("interp.seed", str(run["seed"]))
        xml.add_global_property("interp.budget", str(run["options"]["budget"]))
        for model in results.models:
            xml.add_global_property(f"interp.model.{model['id']}", model["sha256"])
        for verdict in decide_all(results):
            xml.add_global_property(f"interp.gate.{verdict.name}", gate_headline(verdict))

    def _markdown(self, results: Results, session: pytest.Session, path: Path) -> None:
        from interp_assert.records.writing import write_in_one_piece
        from interp_assert.reports.markdown import results_markdown

        try:
            write_in_one_piece(Path(os.path.realpath(path)), results_markdown(results))
        except OSError as error:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self.gathering.notes.append(f"the report could not be written to {path}: {error.strerror or error}")
        else:
            self.written.append(f"interp: report written to {path}")

    def _summary(self, results: Results, path: Path) -> None:
        """Appended to what other runs of the step have written there. It is for reading only: where it cannot be
        written, the run says so and goes on."""
        from interp_assert.reports.markdown import BUDGET, results_markdown

        try:
            left = SUMMARY_BYTES - (path.stat().st_size if path.exists() else 0) - 1
            if left < 1000:
                self.gathering.notes.append("the summary of this step is full; nothing was added to it")
                return
            with path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(f"\n{results_markdown(results, min(BUDGET, left))}")
        except OSError as error:
            self.gathering.notes.append(f"the summary of this step cannot be written: {error.strerror or error}")
