"""The seven claims that are calibrated; that of a difference of means has two, as a baseline and as a direction."""

from __future__ import annotations

from importlib import import_module

from .family import Family

__all__ = ["CLAIMS", "NAMES", "families_of"]

NAMES = {
    "induction": "induction",
    "lens": "lens crossover",
    "probe": "probe AUROC",
    "coders": "variance explained",
    "means": "not worse than a difference of means",
    "steering": "steering along a difference of means",
    "weights": "random weights",
    "drift": "drift",
}
"""modules of this package -> what their claims are called, in the order of the page"""
CLAIMS = tuple(NAMES)


def families_of(claim: str) -> list[Family]:
    """What is run for a claim; models and pools are made on first use."""
    found: list[Family] = import_module(f".{claim}", __package__).families()
    assert {family.claim for family in found} == {NAMES[claim]}
    return found
