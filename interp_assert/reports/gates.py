"""What a gate says, for somebody who decides about a release and reads no code: made from its verdict alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..gates.verdict import ClaimStand, GateVerdict, ModelVerdict, Release
from ..stats import QUICK, STANDARD, THOROUGH, Budget

__all__ = ["gate_headline", "gate_story"]


def gate_headline(gate: GateVerdict) -> str:
    """One line: the verdict, and whom it is about."""
    head = f"gate {gate.name} ({gate.file}): {gate.says}"
    claims = [claim for model in gate.models for claim in model.claims]
    if gate.says is Release.RELEASE:
        holding = sum(not claim.excused for claim in claims)
        told = f"{_count(holding, 'required claim')} on {_count(len(gate.models), 'model')}, and every one holds"
        waived = sum(claim.excused == "waived" for claim in claims)
        return f"{head}: {told}{f' ({waived} waived)' if waived else ''}"
    reasons = [gate.reason] if gate.reason else []
    for model in gate.models:
        if model.says is gate.says and not gate.reason:
            blamed = [claim.check for claim in model.claims if claim.says is model.says]
            reasons.append(f"{model.model} ({', '.join(blamed) or model.reason})")
    return f"{head}: {'; '.join(_some(reasons))}"


def gate_story(gate: GateVerdict) -> list[str]:
    """The verdict on every model, the worst first, and why what may not be released may not."""
    lines = [gate.description] if gate.description else []
    lines += [f"{gate.says}: {gate.reason}"] if gate.reason else []
    order = (Release.BLOCK, Release.INCOMPLETE, Release.RELEASE)
    for model in sorted(gate.models, key=lambda model: order.index(model.says)):
        lines += _model(model, gate)
    return lines


def _model(model: ModelVerdict, gate: GateVerdict) -> list[str]:
    holding = sum(claim.verdict == "PASS" and not claim.excused for claim in model.claims)
    required = sum(claim.excused != "advisory" for claim in model.claims)
    lines = [f"{model.says:<10}  {model.model}: {holding} of {required} required claims shown to hold"]
    if model.reason:
        lines.append(f"    {model.reason}")
    if gate.reason and not any(claim.record for claim in model.claims):
        return lines  # the gate's own reason is that of all its claims
    for claim in model.claims:
        if claim.verdict != "PASS":
            lines += [f"    {line}" for line in _claim(claim)]
    return lines


def _claim(stand: ClaimStand) -> list[str]:
    record, waiver = stand.record, stand.claim["waiver"]
    compared = stand.baseline if stand.verdict == "WORSE" else None
    excused = f" ({stand.excused})" if stand.excused else ""
    lines = [f"{stand.check} {_WORDS[stand.verdict]}{excused}: {_change(compared) if compared else _measured(stand)}"]
    told = []
    if record is not None and stand.verdict not in ("MISSING", "WORSE"):
        told.append(("claimed", record.get("claim")))
        told += _why(stand.verdict, record)
        told.append(("to decide", _what_decides(stand, record)))
    told.append(("it matters", stand.claim.get("why")))
    if waiver:
        told.append(("waived", f"until {waiver['expires']} by {waiver['owner']}: {waiver['reason']}"))
    if stand.nodeids and not stand.excused:
        told.append(("look closer", f"pytest {shlex.quote(stand.nodeids[0])}"))
    return [*lines, *(f"  {name:<12}{' '.join(text.split())}" for name, text in told if text)]


_WORDS = {
    "WORSE": "is worse than it was",
    "FAIL": "does not hold",
    "INCONCLUSIVE": "is not decided",
    "NOT_APPLICABLE": "cannot be asked of this model",
    "MISSING": "has no verdict that counts",
}


def _measured(stand: ClaimStand) -> str:
    """``accuracy is 0.031, and surely not above 0.42 (64 prompts); more than 0.5 is required``."""
    record = stand.record
    if record is None or stand.verdict == "MISSING" or record["estimate"] is None:
        return stand.reason or "it was not measured"
    told = f"{record['details'].get('quantity', 'the figure')} is {_number(record['estimate'])}"
    lower_is_better = record.get("direction") == "lower"
    low, high = record["interval"] or (None, None)
    if stand.verdict == "FAIL" and record.get("claim_verdict") == "FAIL":
        end, side = (low, "below") if lower_is_better else (high, "above")
        told += "" if end is None else f", and surely not {side} {_number(end)}"
    elif low is not None and high is not None:
        told += f", surely between {_number(low)} and {_number(high)}"
    told += f" ({_count(record['n'], 'prompt')})"
    if record["threshold"] is not None:
        told += f"; {'less' if lower_is_better else 'more'} than {record['threshold']:.4g} is required"
    return told


def _change(entry: Mapping[str, Any]) -> str:
    """``0.981 share before, 0.012 now, surely a loss of 0.9 or more; a loss of less than 0.05 is required``."""
    lower_is_better = entry["direction"] == "lower"
    told = f"{_number(entry['before'])} {entry['unit']} before, {_number(entry['now'])} now"
    least = (entry["interval"] or (None, None))[0 if lower_is_better else 1]
    told += (
        "" if least is None else f", surely a {'rise' if lower_is_better else 'loss'} of {_number(abs(least))} or more"
    )
    told += f" ({_count(entry['n'], 'prompt')})"
    if entry["limit"] is not None:
        told += f"; less than {abs(entry['limit']):.3g} is required"
    return told


def _why(verdict: str, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What stands behind the verdict besides the figure."""
    if verdict == "INCONCLUSIVE":
        return [("undecided", (record.get("reason") or "").removeprefix("not decided: "))]
    if verdict != "FAIL":
        return []
    if record.get("claim_verdict") == "FAIL":
        level = (record.get("levels") or {}).get("fail")
        told = level and f"of {int(1 / level + 1e-6):,} runs in which the claim is true at most one says this"
        return [("how sure", told or "")]
    failed = [control["name"] for control in record["controls"] if control["verdict"] == "FAIL"]
    told = f"what knows nothing of it does as well, so the figure shows nothing: {', '.join(failed)}"
    return [("because", told if failed else record.get("reason") or "")]


def _what_decides(stand: ClaimStand, record: Mapping[str, Any]) -> str | None:
    """What the gate file has to say for a decision."""
    if stand.verdict == "NOT_APPLICABLE":
        return "leave this claim out for this model, or make it advisory: true"
    if stand.verdict != "INCONCLUSIVE" or not (needed := record.get("needed")):
        return None
    told, most = f"about {needed:,} prompts in all", THOROUGH.clusters
    if needed > most:
        return f"{told}, and the largest budget has {most:,}: claim less, or make it advisory: true"
    budget = next(budget for budget in (QUICK, STANDARD, THOROUGH) if budget.clusters >= needed)
    larger = budget.clusters > Budget.named(stand.claim["budget"]).clusters
    return f"{told}; write budget: {budget.name} for it" if larger else told


def _number(value: float | None) -> str:
    if value is None:
        return "not finite"
    return f"{value:.3f}" if value == 0 or 0.0005 <= abs(value) < 1000 else f"{value:.3g}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _some(reasons: Sequence[str], most: int = 3) -> list[str]:
    left = len(reasons) - most
    return [*reasons[:most], f"and {left} more"] if left > 0 else list(reasons)
