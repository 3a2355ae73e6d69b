"""How close two values are, and how close they must be to count as equal."""

from __future__ import annotations

from math import inf

import torch

from ..anatomy import Anatomy
from ..opened import OpenModel

__all__ = ["TOLERANCE", "distance", "tolerance"]

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""Largest relative error at which an identity counts as holding, by dtype; rounding, not slack."""


def tolerance(anatomy: Anatomy, model: OpenModel) -> float:
    """The limit for this model: that of its coarsest number format (some keep the stream in another than the
    weights).
    """
    return max(TOLERANCE.get(dtype, 2e-2) for dtype in (model.dtype, anatomy.stream_dtype))


def distance(left: torch.Tensor, right: torch.Tensor) -> float:
    """||left - right|| / ||right||, in float64; infinite between tensors of different shapes."""
    if left.shape != right.shape:
        return inf
    left, right = left.detach().double(), right.detach().double()
    scale, difference = right.norm(), (left - right).norm()
    return float(difference / scale) if scale > 0 else float(difference)
