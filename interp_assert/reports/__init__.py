"""What people read: made from the results document and nothing else; a report never computes a verdict."""

from __future__ import annotations

from .history import history_lines
from .profile import blanks, figures_markdown, figures_table, figures_text, legend
from .steps import step_lines, step_table
from .table import not_passed, profile_table, traps

__all__ = [
    "blanks",
    "figures_markdown",
    "figures_table",
    "figures_text",
    "history_lines",
    "legend",
    "not_passed",
    "profile_table",
    "step_lines",
    "step_table",
    "traps",
]
