"""What people read: made from the results document and nothing else; a report never computes a verdict."""

from __future__ import annotations

from .table import not_passed, profile_table, traps

__all__ = ["not_passed", "profile_table", "traps"]
