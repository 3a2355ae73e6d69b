"""What GitHub shows beside a run: one line for each gate that does not release. It shows ten at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .gates import gate_headline
from .printing import printable

if TYPE_CHECKING:
    from ..gates import GateVerdict

__all__ = ["MOST", "gate_annotations"]

MOST = 10
"""errors that GitHub shows of one step; the rest is dropped without a word"""


def gate_annotations(verdicts: Sequence[GateVerdict], folder: str = "") -> list[str]:
    """Workflow commands, one for each gate that does not say RELEASE, BLOCK first; with more than ``MOST`` of them the
    last counts the rest. ``folder`` is where the run was started, as seen from the top of the repository ("" or "a/b"):
    GitHub wants to know the files from there.
    """
    stopped = [verdict for says in ("BLOCK", "INCOMPLETE") for verdict in verdicts if verdict.says == says]
    shown = stopped if len(stopped) <= MOST else stopped[: MOST - 1]
    lines = [_of(verdict, folder) for verdict in shown]
    if len(shown) < len(stopped):
        rest = ", ".join(verdict.name for verdict in stopped[len(shown) :])
        told = f"{len(stopped) - len(shown)} more gates do not release: {rest}"
        lines.append(f"::error title=interp-assert::{_escaped(told)}")
    return lines


def _of(verdict: GateVerdict, folder: str) -> str:
    file = verdict.file if verdict.file.startswith("/") or not folder else f"{folder}/{verdict.file}"
    place = f"file={_escaped(file, property=True)},line={verdict.line}"
    title = _escaped(f"{verdict.says} {verdict.name}", property=True)
    return f"::error {place},title={title}::{_escaped(gate_headline(verdict))}"


def _escaped(text: str, *, property: bool = False) -> str:
    """As GitHub's own toolkit escapes them: nothing can end the command or begin another."""
    text = printable(" ".join(text.split())).replace("%", "%25")
    return text.replace(":", "%3A").replace(",", "%2C") if property else text
