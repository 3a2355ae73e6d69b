"""Null inputs for a repeated sequence: the second copy in another order, or made of new tokens (METHODS: C6)."""

from __future__ import annotations

from ..stats import ErrorLevels
from .paired import PairedControl

__all__ = ["shuffled", "unrepeated"]


def shuffled(margin: float, levels: ErrorLevels) -> PairedControl:
    """Same tokens, no bigram of the first copy: what a model scores that only knows which tokens occurred.

    An order-blind model that names tokens not yet repeated gets H_n / n right on both (0.18 at n = 20), so it gains
    nothing here, while it beats 1 / n.
    """
    return PairedControl("shuffled", margin, levels, note="repeated - shuffled second copy, paired by cluster")


def unrepeated(margin: float, levels: ErrorLevels) -> PairedControl:
    """New tokens in place of the second copy: what the model scores without anything to copy."""
    return PairedControl("unrepeated", margin, levels, note="repeated - unrepeated second part, paired by cluster")
