"""Text from outside (ids, tokens, reasons) made safe to print, and numbers made short."""

from __future__ import annotations

import re
from math import isinf

__all__ = ["interval", "number", "safe", "safe_line", "table"]

_WORKFLOW_COMMAND = re.compile(r"^(\s*):(?=:)", re.MULTILINE)


def safe_line(text: str) -> str:
    """One line: every character that is not printable ASCII becomes an escape, so that an id can neither break the line
    nor colour the terminal nor give a command to a CI service.
    """
    shown = "".join(c if c.isascii() and c.isprintable() else _escape(c) for c in text)
    return _WORKFLOW_COMMAND.sub(r"\1\\x3a", shown)


def safe(text: str) -> str:
    """As ``safe_line``, but keeping line ends."""
    return "\n".join(safe_line(line) for line in text.split("\n"))


def number(value: object) -> str:
    """A figure for people: three to four digits, "-" for None."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return safe_line(str(value))
    if isinstance(value, int):
        return str(value)
    if isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.3f}" if 0.0005 <= abs(value) < 1000 else f"{value:.3g}"


def interval(ends: tuple[float, float] | None) -> str:
    """``[low, high]`` with a digit more than estimates have, so that an end beside a threshold can be told from it."""
    return "" if ends is None else f"[{_end(float(ends[0]))}, {_end(float(ends[1]))}]"


def table(rows: list[dict[str, object]]) -> list[str]:
    """Lines of an aligned table with the keys of the first row as its header; nothing for no rows."""
    if not rows:
        return []
    header = list(rows[0])
    cells = [[safe_line(name) for name in header]] + [[number(row.get(name)) for name in header] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]


def _end(value: float) -> str:
    return number(value) if isinf(value) else f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
