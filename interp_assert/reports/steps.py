"""Claims over the checkpoints of a training: one row per step, then in words where each is first shown or lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..records import ClaimOverSteps, Training

__all__ = ["step_lines", "step_table", "told"]

_WORDS = {"PASS": "PASS", "FAIL": "FAIL", "INCONCLUSIVE": "INCONCLUSIVE", "NOT_APPLICABLE": "n/a"}


def step_table(training: Training) -> str:
    """For the terminal: steps down, claims across, verdict and estimate in each cell. Empty without claims."""
    if not training.claims:
        return ""
    from tabulate import tabulate

    header = ["step", *(claim.name for claim in training.claims)]
    rows = [
        [step, *(_cell(claim.checks[place]) for claim in training.claims)] for place, step in enumerate(training.steps)
    ]
    aligned = ["right", *["left"] * len(training.claims)]
    return tabulate(rows, headers=header, tablefmt="simple", colalign=aligned, disable_numparse=True)


def step_lines(training: Training) -> list[str]:
    """One line for each claim: from which step on it is shown to hold, or not to; and last what these lines risk."""
    lines = [f"{claim.name} {told(claim)}." for claim in training.claims]
    errors = [claim.errors for claim in training.claims if claim.errors is not None]
    if errors:
        holds, holds_not = max(error.holds for error in errors), max(error.holds_not for error in errors)
        approximate = " (comparisons with twins are approximate)" if any(c.approximate for c in training.claims) else ""
        lines.append(
            f"For each claim some step is wrongly said to hold with probability at most {holds:.2g}, wrongly not to "
            f"with at most {holds_not:.2g}, however many steps there are{approximate}."
        )
    return lines


def told(claim: ClaimOverSteps) -> str:
    """What is shown, as the rest of a sentence: ``first holds at step 1600, not yet at step 800``."""
    shown = claim.shown
    if shown.throughout:
        if not shown.head_holds and all(
            check is not None and check["verdict"] == "NOT_APPLICABLE" for check in claim.checks
        ):
            return "is not applicable at any step"
        return f"holds at {'every' if shown.head_holds else 'no'} step"
    if shown.first_holds is not None:
        text = f"first holds {_at(shown.first_holds, bool(shown.between))}, not yet at step {shown.last_before}"
    elif shown.first_lost is not None:
        text = f"is lost {_at(shown.first_lost, bool(shown.between))}, still holds at step {shown.last_before}"
    else:
        parts = []
        if shown.head:
            parts.append(f"{'holds' if shown.head_holds else 'does not hold'} up to step {shown.last_before}")
        if shown.tail:
            parts.append(f"{'holds' if shown.tail_holds else 'does not hold'} from step {shown.steps[-shown.tail]} on")
        text = " and ".join(parts) or "is shown neither to hold nor not to, at either end"
    if shown.between:
        seen = ", ".join(
            f"{step} {'not asked' if seen is None else _WORDS[seen.value]}" for step, seen in shown.between
        )
        text += f"; the rest: {seen}"
        if claim.all_errors is not None and any(seen in ("PASS", "FAIL") for _, seen in shown.between):
            risk = max(claim.all_errors.holds, claim.all_errors.holds_not)
            text += f" (all {len(shown.steps)} verdicts together err with probability at most {risk:.2g})"
    return text


def _at(step: str, is_bound: bool) -> str:
    return f"at step {step} at the latest" if is_bound else f"at step {step}"


def _cell(check: Mapping[str, Any] | None) -> str:
    if check is None:
        return "-"
    if check["estimate"] is None:
        return _WORDS[check["verdict"]]
    estimate = round(check["estimate"], 3) + 0.0  # which has no "-0.000"
    return f"{_WORDS[check['verdict']]} {estimate:.3f}"
