"""Identities that every model keeps and every port of a model must keep: checked on one input, searched for a
counterexample.

    from interp_assert.conformance import CHECKS

    finding = CHECKS["causality"](model, ids)
    finding.holds, finding.size, finding.site
"""

from __future__ import annotations

from .catalogue import CHECKS
from .check import Check, Comparison
from .finding import Example, Finding, Seen, Trap
from .passes import Passes
from .search import Searched, search

__all__ = [
    "CHECKS",
    "Check",
    "Comparison",
    "Example",
    "Finding",
    "Passes",
    "Searched",
    "Seen",
    "Trap",
    "search",
]
