"""What a score is worth: the same measurement where what is claimed cannot be there."""

from __future__ import annotations

from .paired import PairedControl, control_levels
from .random_weights import random_weights
from .sequences import shuffled, unrepeated
from .targets import decoy_targets, shuffled_targets
from .twin_score import TWIN_MARGIN, TwinScale, TwinScore

__all__ = [
    "TWIN_MARGIN",
    "PairedControl",
    "TwinScale",
    "TwinScore",
    "control_levels",
    "decoy_targets",
    "random_weights",
    "shuffled",
    "shuffled_targets",
    "unrepeated",
]
