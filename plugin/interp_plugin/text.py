"""Text that is safe to print, as the library makes it."""

from __future__ import annotations

from interp_assert.reports.printing import first_line, printable

__all__ = ["first_line", "printable"]
