"""What the terminal shows: where the options came from, and at the end the profile of each model and every verdict
that is not PASS."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from .gate_names import gate_arguments
from .plan import Plan
from .text import printable

if TYPE_CHECKING:
    from interp_assert.records import Results

    from .gathering import Gathering

__all__ = ["TerminalReport"]


class TerminalReport:
    """Registered beside ``Gathering``; reads its results once the session is over. Prints nothing that is not in
    them, except where they were written."""

    def __init__(self, config: pytest.Config, plan: Plan, gathering: Gathering) -> None:
        self.plan = plan
        self.gathering = gathering
        self.gates = gate_arguments(config)

    def pytest_report_header(self) -> list[str]:
        """Models, suites, budget and seed with the option, variable or ini key that won; of the rest, what was
        given."""
        plan = self.plan
        models = ", ".join(model.label for model in plan.settings.under_test)
        from_ids = plan.settings.models and not plan.chosen["model"].given
        suites = ", ".join(suite.name for suite in (*plan.suites, *plan.pasted_suites)) or "none"
        shown = [
            f"models {models} ({'node ids' if from_ids else plan.chosen['model'].source})",
            f"suites {suites} ({'node ids' if plan.pasted and not plan.suites else plan.chosen['suites'].source})",
        ]
        always = ["budget", "seed"]
        if self.gates and not plan.settings.models and not plan.suites:
            shown = [f"gates {', '.join(self.gates)} (models, floors, budget and levels are the file's own)"]
            always = ["seed"]
        for name, choice in plan.chosen.items():
            if name in always or (choice.given and name not in ("model", "suites")):
                value = ", ".join(choice.value) if isinstance(choice.value, tuple) else choice.value
                shown.append(f"{name} {value} ({choice.source})")
        if plan.left_out:
            shown.append(f"without {', '.join(plan.left_out)}, which needs --interp-base")
        return [printable(f"interp: {'; '.join(shown)}")]

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.gathering.results is not None:
            self._report(terminalreporter, self.gathering.results)
        self._gates(terminalreporter)
        for note in self.gathering.notes:
            self._say(terminalreporter, note, red=True)
        for path in self.gathering.kept:
            self._say(terminalreporter, f"baseline written to {path}")
        if self.gathering.written:
            self._say(terminalreporter, f"results written to {self.plan.json}")
        if self.gathering.appended is not None:
            self._say(terminalreporter, self.gathering.appended)

    def _report(self, terminalreporter: Any, results: Results) -> None:
        from interp_assert.reports.baselines import baselines_table, not_compared, weights_lines
        from interp_assert.reports.profile import figures_text
        from interp_assert.reports.table import not_passed, profile_table, remembered, traps

        table = profile_table(results)
        if table:
            terminalreporter.section("interp: what is inside")
            terminalreporter.write_line(printable(table))
        for line in (*not_passed(results), *traps(results)):
            terminalreporter.write_line(printable(line))
        self._over_steps(terminalreporter, results)
        if results.profiles:
            terminalreporter.section("interp: profile")
            for line in figures_text(results, shutil.get_terminal_size(fallback=(120, 24)).columns):
                terminalreporter.write_line(printable(line))
        if compared := baselines_table(results):
            terminalreporter.section("interp: against the baseline")
            terminalreporter.write_line(printable(compared))
            for line in (*not_compared(results), *weights_lines(results)):
                terminalreporter.write_line(printable(line))
        for line in remembered(results):
            self._say(terminalreporter, line)
        inconclusive = results.run["tests"]["inconclusive"]
        if inconclusive:
            noun = "test was" if inconclusive == 1 else "tests were"
            self._say(
                terminalreporter,
                f"{inconclusive} {noun} INCONCLUSIVE and did not fail the run "
                f"({self.plan.chosen['inconclusive'].source}=warn)",
                yellow=True,
            )
        for model in results.models:
            if len(places := model.get("weights_at", {})) > 1 or "disk" in places:
                shares = ", ".join(f"{count / model['parameters']:.0%} on {place}" for place, count in places.items())
                self._say(terminalreporter, f"{model['id']} is spread: {shares} of its parameters")
            if model["changed"]:
                self._say(terminalreporter, f"the model changed during the run: {model['changed']}", red=True)

    def _gates(self, terminalreporter: Any) -> None:
        """What each gate says: the whole story of every model, then one line."""
        from interp_assert.gates import Release
        from interp_assert.reports.gates import gate_headline, gate_story

        colours = {Release.RELEASE: "green", Release.BLOCK: "red", Release.INCOMPLETE: "yellow"}
        for verdict in self.gathering.gate_verdicts:
            if self.gathering.results is None and not verdict.models:
                continue  # the file cannot be used, and pytest has said why
            if self.gathering.results is not None:
                terminalreporter.section(printable(f"interp: gate {verdict.name}"))
                for line in gate_story(verdict):
                    terminalreporter.write_line(printable(line))
            self._say(terminalreporter, gate_headline(verdict), **{colours[verdict.says]: True})

    @staticmethod
    def _over_steps(terminalreporter: Any, results: Results) -> None:
        from interp_assert.records.steps import trainings
        from interp_assert.reports.steps import step_lines, step_table

        for training in trainings(results):
            if table := step_table(training):
                terminalreporter.section(printable(f"interp: {training.name} over {len(training.steps)} steps"))
                for line in (*table.splitlines(), *step_lines(training)):
                    terminalreporter.write_line(printable(line))

    @staticmethod
    def _say(terminalreporter: Any, text: str, **markup: bool) -> None:
        terminalreporter.write_line(printable(f"interp: {text}"), **markup)
