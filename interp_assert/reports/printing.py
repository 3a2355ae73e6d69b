"""Text that is safe to print: ids and tokens come from outside and can hold control characters and commands for
terminals and CI."""

from __future__ import annotations

import unicodedata

__all__ = ["first_line", "printable"]


def printable(text: str) -> str:
    """The text with every control and format character except line ends and tabs escaped (``\\x1b``), and no line
    that begins with ``::``, which GitHub would take for a command."""
    escaped = "".join(_escape(character) for character in text)
    return "\n".join(f" {line}" if line.startswith("::") else line for line in escaped.split("\n"))


def first_line(text: str) -> str:
    """The first line that is not empty, safe to print."""
    return next((printable(line.strip()) for line in text.splitlines() if line.strip()), "")


def _escape(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode("ascii")
