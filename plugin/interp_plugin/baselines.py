"""Every claim against its baseline: compared in the test that reached it, written at the end of the run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interp_fixtures.loaded import loaded_models
from interp_fixtures.settings import ModelChoice, RunSettings

from .parametrization import uses_model
from .plan import Plan

if TYPE_CHECKING:
    from interp_assert.records.baselines import Baseline, Stored, Weights
    from interp_assert.stats import Verdict

__all__ = ["COMPARED", "BaselineComparison", "BaselineWriter", "check_baselines", "not_measured"]

COMPARED = pytest.StashKey[list[dict[str, Any]]]()


def check_baselines(plan: Plan) -> None:
    """Before any test is collected: raise ``pytest.UsageError`` for a baseline that cannot be read, and where baselines
    are to be written for a folder that cannot be, a model that has no name to keep them under, or two of one name.
    """
    if plan.baseline == "off":
        return
    from interp_assert.errors import UsageProblem

    source = f"{plan.chosen['baseline'].source}={plan.baseline}"
    if plan.baseline != "compare":
        _writable(plan.baselines, source)
    names: dict[str, str] = {}
    for choice in plan.settings.under_test:
        name = _name(choice)
        if name is not None:
            try:
                _read(plan, name)
            except UsageProblem as problem:
                raise pytest.UsageError(str(problem)) from None
        if plan.baseline == "compare":
            continue
        if name is None:
            raise pytest.UsageError(f"{source}: a directory is kept under a name: --interp-model=NAME={choice.id}")
        if names.setdefault(name, choice.label) != choice.label:
            raise pytest.UsageError(f"{source}: {names[name]} and {choice.label} share one baseline; measure one")


def _writable(folder: Path, source: str) -> None:
    """Prove it now, not after an hour of measuring; a folder that does not exist is not made for it."""
    try:
        with tempfile.TemporaryFile(dir=folder if os.path.lexists(folder) else folder.parent):
            pass
    except OSError as error:
        raise pytest.UsageError(f"{source}: cannot write {folder}: {error.strerror or error}") from None


class BaselineComparison:
    """Registered in every process that runs tests, unless baselines are off.

    Around the call of a test it listens to verdicts. Each is held against what the baseline says of the same check; a
    test whose claim is worse than its baseline fails for that, also where the claim itself passed or was skipped. While
    baselines are written (``update``) nothing is held against them.
    """

    def __init__(self, config: pytest.Config, plan: Plan) -> None:
        self.config = config
        self.plan = plan
        # A missing baseline may be an oversight at a desk; in CI it is a gate that does not close.
        self.strict = os.environ.get("CI", "").lower() not in ("", "0", "false") and plan.baseline == "compare"
        self._known: dict[str, Baseline | None] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        if self.plan.baseline == "update" or not uses_model(item):
            return (yield)
        from interp_assert.assertions import InterpAssertionError, recording
        from interp_assert.stats import Outcome

        heard: list[Verdict] = []
        item.stash[COMPARED] = []
        try:
            with recording(heard.append):
                result = yield
        except InterpAssertionError as error:
            worse = self._worse(item, heard)
            # A claim that FAILs says more than that it was better once; one that is undecided or skipped does not.
            if worse is not None and error.verdict.outcome is not Outcome.FAIL:
                raise worse from None
            raise
        worse = self._worse(item, heard)
        if worse is not None:
            raise worse
        return result

    def _worse(self, item: pytest.Item, heard: list[Verdict]) -> Exception | None:
        """Compare each verdict; what the test has to fail with: a regression before what could not be compared."""
        found: list[tuple[Verdict, dict[str, Any]]] = []
        for verdict in heard:
            entry = self._compared(item, verdict)
            if entry is not None:
                item.stash[COMPARED].append(entry)
                found.append((verdict, entry))
        order = {"FAIL": 0, None: 1, "INCONCLUSIVE": 2}
        failing = sorted((pair for pair in found if pair[1]["fails"]), key=lambda pair: order[pair[1]["verdict"]])
        return _failure(*failing[0]) if failing else None

    def _compared(self, item: pytest.Item, verdict: Verdict) -> dict[str, Any] | None:
        choice = _choice(item, self.plan.settings, verdict.model)
        facts = None if choice is None else loaded_models(self.config).provenance.get(choice.label)
        if choice is None or facts is None:
            return None
        from interp_assert.records.baseline_comparison import compared
        from interp_assert.records.measured import measurement_entry

        record = {**verdict.as_dict(), "nodeid": item.nodeid}
        record["measurements"] = [measurement_entry(measured) for measured in verdict.measurements[:1]]
        name = _name(choice)
        if name is not None and name not in self._known:
            self._known[name] = _read(self.plan, name)
        baseline = None if name is None else self._known[name]
        entry = compared(record, baseline, weights_of(facts), strict=self.strict)
        if entry is not None and name is None:
            entry["reason"] = f"a directory has no baseline without a name: --interp-model=NAME={choice.id}"
        elif entry is not None and baseline is None and name == choice.id.partition("@")[0]:
            entry["reason"] += (
                f"; to hold it against another model, give both one name: --interp-model=NAME={choice.id}"
            )
        return entry


class BaselineWriter:
    """On the controller, at the end of a run that was not broken off: writes what ``new`` and ``update`` are for.

    ``choices`` are models of gates, beside those that options name.
    """

    def __init__(self, plan: Plan, choices: Sequence[ModelChoice] = ()) -> None:
        self.plan = plan
        self.choices = tuple(dict.fromkeys((*plan.settings.under_test, *choices)))
        self.problems: list[str] = []
        self.written: list[str] = []

    def write(self, checks: list[dict[str, Any]], models: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Entries for the results document, one for each check that was put into a baseline."""
        entries: list[dict[str, Any]] = []
        labels: dict[str, str] = {}
        for choice in self.choices:
            name, facts = _name(choice), models.get(choice.label)
            measured = [check for check in checks if check["model"] == choice.label and check.get("measurements")]
            if name is None or facts is None or not measured:
                continue
            if labels.setdefault(name, choice.label) != choice.label:
                both = f"{labels[name]} and {choice.label}"
                self.problems.append(f"no baseline was written for {choice.label}: {both} share one; measure one")
                continue
            entries += self._write_one(name, measured, weights_of(facts))
        return entries

    def _write_one(self, name: str, checks: list[dict[str, Any]], weights: Weights) -> list[dict[str, Any]]:
        from interp_assert.errors import UsageProblem
        from interp_assert.records.baseline_comparison import written
        from interp_assert.records.baselines import Baseline, change_baseline, key_of, path_of, stored_of

        entries: list[dict[str, Any]] = []

        def change(before: Baseline | None) -> Baseline | None:
            baseline = before if before is not None else Baseline.empty(name, weights)
            kept: dict[str, Stored] = {}
            for check in checks:
                key, stored = key_of(check), stored_of(check)
                if stored is None or (self.plan.baseline == "new" and key in baseline.checks):
                    continue
                if key in kept and kept[key] != stored:
                    raise UsageProblem(
                        f"two tests measured {key} on {check['model']} with different results, so one baseline cannot "
                        "hold both; run them apart, or give one of the measurements another name"
                    )
                kept[key] = stored
                entry = written(check, baseline, weights)
                entries.extend([] if entry is None else [entry])
            return baseline.with_checks(weights, kept) if kept else before

        path = path_of(self.plan.baselines, name)
        try:
            if change_baseline(self.plan.baselines, name, change):
                self.written.append(str(path))
            return entries
        except OSError as error:
            self.problems.append(f"the baseline could not be written to {path}: {error.strerror or error}")
        except UsageProblem as problem:
            self.problems.append(f"no baseline was written: {problem}")
        return []


def not_measured(
    plan: Plan, choices: Sequence[ModelChoice], entries: Sequence[Mapping[str, Any]]
) -> dict[str, list[str]]:
    """For each model, the checks of its baseline of which this run has no entry: nobody knows how they stand."""
    from interp_assert.errors import UsageProblem

    found: dict[str, list[str]] = {}
    for choice in choices:
        name = _name(choice)
        try:
            baseline = None if name is None else _read(plan, name)
        except UsageProblem:  # told where it was to be compared with
            continue
        seen = {entry["key"] for entry in entries if entry["model"] == choice.label}
        if baseline is not None and (left := sorted(baseline.checks.keys() - seen)):
            found[choice.label] = left
    return found


def weights_of(facts: Mapping[str, Any]) -> Weights:
    """Of a model, out of its provenance."""
    from interp_assert.records.baselines import Weights

    return Weights(sha256=facts["sha256"], revision=facts["revision"], dtype=facts["dtype"])


def _choice(item: pytest.Item, settings: RunSettings, label: str) -> ModelChoice | None:
    callspec = getattr(item, "callspec", None)
    own = None if callspec is None else callspec.params.get("interp_model")
    known = [own] if isinstance(own, ModelChoice) else list(settings.under_test)
    return next((choice for choice in known if choice.label == label), None)


def _name(choice: ModelChoice) -> str | None:
    from interp_assert.records.baseline_names import baseline_name

    return baseline_name(choice.id)


def _read(plan: Plan, name: str) -> Baseline | None:
    from interp_assert.records.baselines import path_of, read_baseline

    return read_baseline(path_of(plan.baselines, name), name)


def _failure(verdict: Verdict, entry: Mapping[str, Any]) -> Exception:
    """What the test fails with: the comparison as a verdict of its own, with the whole story."""
    from interp_assert.errors import NoBaseline

    if entry["verdict"] is None and entry["status"] != "lost":
        return NoBaseline(f"{entry['key']} on {entry['model']}: {entry['reason']}")
    from interp_assert.assertions import InterpAssertionError

    return InterpAssertionError(comparison_verdict(verdict, entry))


def comparison_verdict(verdict: Verdict, entry: Mapping[str, Any]) -> Verdict:
    """The verdict on "not worse than the baseline"; what can no longer be measured is worse."""
    from dataclasses import replace
    from math import inf

    from interp_assert.reports.baselines import weights_in_short
    from interp_assert.stats import Outcome

    outcome = Outcome(entry["verdict"] or "FAIL")
    interval = entry["interval"] and tuple(
        end if end is not None else bound for end, bound in zip(entry["interval"], (-inf, inf), strict=True)
    )
    weights = entry["weights"]
    limit = "" if entry["limit"] is None else f" by {abs(entry['limit']):.3g} {entry['unit']} or more"
    before = None if entry["before"] is None else f"{entry['before']:.4g} {entry['unit']}"
    now = None if entry["now"] is None else f"{entry['now']:.4g} {entry['unit']}"
    profile = {
        "baseline": f"{before}, weights {weights_in_short(weights['before'])}",
        "now": f"{now}, weights {weights_in_short(weights['now'])}",
    }
    return replace(
        verdict,
        outcome=outcome,
        claim=f"it is not worse than its baseline{limit}, over the same clusters",
        estimate=None if entry["verdict"] is None else entry["change"],
        interval=interval,
        n=entry["n"],
        threshold=entry["limit"],
        direction=entry["direction"],
        controls=(),
        details={
            "quantity": "change from the baseline",
            "profile": {name: text for name, text in profile.items() if not text.startswith("None")},
            "approximate": entry["approximate"],
        },
        needed=None,
        reason=entry["reason"],
        claim_outcome=outcome,
    )
