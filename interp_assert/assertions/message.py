"""The message of a failed assertion: one line that says it all, then the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .text import interval, number, safe, safe_line, table

if TYPE_CHECKING:
    from ..stats import ControlResult, Verdict

__all__ = ["first_line", "story"]


def story(verdict: Verdict) -> str:
    """First line: check, verdict, value, threshold, model, layer. Then the claim, the evidence, each control and a
    small table by block.
    """
    lines = [first_line(verdict), "", f"  claim      {safe(verdict.claim)}"]
    if verdict.reason and verdict.levels is not None:
        lines.append(f"  reason     {safe(verdict.reason)}")
    if verdict.estimate is not None and verdict.levels is not None:
        lines.append(
            f"  measured   {_measured(verdict)}, "
            f"n = {verdict.n} clusters, threshold {_threshold(verdict)}: {verdict.claim_outcome.value}"
        )
    if verdict.levels is not None:
        lines.append(
            f"  levels     wrong PASS {verdict.levels.pass_:g}, wrong FAIL {verdict.levels.fail:g}, "
            f"controls {verdict.levels.control:g}"
        )
    lines += _profile(verdict.details)
    if verdict.controls:
        lines += ["", "  controls"]
        lines += [f"    {_control(control)}" for control in verdict.controls]
    if verdict.needed is not None:
        remedy = safe_line(verdict.details.get("remedy", "raise the budget"))
        lines += ["", f"  A decision would probably need {verdict.needed} clusters in all; {remedy}."]
    by_block = verdict.details.get("by_block")
    if by_block:
        lines += ["", "  by block", *(f"    {line}" for line in table(by_block))]
    cost = verdict.cost
    lines += ["", f"  cost       {cost.forward_passes} forward passes, {cost.tokens} tokens, {cost.seconds:.1f} s"]
    reproduce = verdict.details.get("reproduce")
    if reproduce:
        lines.append(f"  reproduce  {safe_line(reproduce)}")
    return "\n".join(lines)


def first_line(verdict: Verdict) -> str:
    """``circuits/induction FAIL: accuracy 0.031 [0.020, 0.050] is not above 0.5 for zoo:x (all blocks), n = 128``."""
    head = f"{safe_line(verdict.check)} {verdict.outcome.value}: "
    where = f"{safe_line(verdict.model)} ({safe_line(verdict.layer or 'all blocks')})"
    if verdict.estimate is None:
        return f"{safe_line(verdict.check)} {verdict.outcome.value} for {where}: {safe_line(verdict.reason)}"
    if verdict.levels is None:  # an identity: the reason says what was seen, how large, and on which input
        return f"{head}{safe_line(verdict.reason)} for {where}, n = {verdict.n} input{'' if verdict.n == 1 else 's'}"
    compared = f"{_RELATION[verdict.claim_outcome.value, verdict.direction]} {_threshold(verdict)}"
    line = f"{head}{_measured(verdict)} {compared} for {where}, n = {verdict.n}"
    blamed = [c for c in verdict.controls if c.required and c.outcome is verdict.outcome]
    if verdict.claim_outcome is not verdict.outcome and blamed:
        line += f"; control {', '.join(safe_line(c.name) for c in blamed)} {verdict.outcome.value}"
    return line


_RELATION = {
    ("PASS", "higher"): "is above",
    ("PASS", "lower"): "is below",
    ("FAIL", "higher"): "is not above",
    ("FAIL", "lower"): "is not below",
    ("INCONCLUSIVE", "higher"): "is not shown to be above or below",
    ("INCONCLUSIVE", "lower"): "is not shown to be above or below",
    ("NOT_APPLICABLE", "higher"): "cannot be compared with",
    ("NOT_APPLICABLE", "lower"): "cannot be compared with",
}


def _measured(verdict: Verdict) -> str:
    return f"{_quantity(verdict)} {number(verdict.estimate)} {interval(verdict.interval)}".rstrip()


def _threshold(verdict: Verdict) -> str:
    return "a bound that is not known" if verdict.threshold is None else f"{verdict.threshold:g}"


def _quantity(verdict: Verdict) -> str:
    return safe_line(str(verdict.details.get("quantity", "estimate")))


def _control(control: ControlResult) -> str:
    marks = [mark for mark, on in (("approximate", control.approximate), ("advisory", not control.required)) if on]
    figures = "not measured"
    if control.estimate is not None:
        figures = f"{number(control.estimate)} {interval(control.interval)}".rstrip()
        if control.threshold is not None:
            figures += f" against {number(control.threshold)}"
        figures += f", n = {control.n}"
    tail = "".join(f" ({mark})" for mark in marks) + (f"; {safe_line(control.note)}" if control.note else "")
    return f"{safe_line(control.name):<16} {control.outcome.value:<14} {figures}{tail}"


def _profile(details: Any) -> list[str]:
    profile = details.get("profile")
    if not profile:
        return []
    width = max(10, *(len(safe_line(name)) for name in profile))
    return [f"  {safe_line(name):<{width}} {safe_line(text)}" for name, text in profile.items()]
