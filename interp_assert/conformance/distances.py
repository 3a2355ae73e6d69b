"""How far apart two tensors are that should be equal: the worst of their vectors, relative to the vectors' usual
length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

import torch

from .finding import Seen

__all__ = ["bitwise", "distance", "distances"]


def distance(value: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest ||value - expected|| of all vectors (last axis), over the root mean square of ||expected||.

    In float64; equal infinities (masked logits) are equal, NaN gives NaN, and other shapes are infinitely far apart.
    Taken over everything at once, a large difference at one position of many would look small.
    """
    if value.shape != expected.shape:
        return inf
    if value.numel() == 0:
        return 0.0
    left, right = value.detach().double(), expected.detach().double()
    same = left == right
    gap = torch.where(same, torch.zeros_like(left), left - right)
    usual = torch.where(right.isinf(), torch.zeros_like(right), right).norm(dim=-1).square().mean().sqrt()
    worst = gap.norm(dim=-1).max()
    return float(worst / usual) if usual > 0 else float(worst)


def distances(
    values: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], sites: Iterable[str], what: str = ""
) -> list[Seen]:
    """``distance`` at each site, in order."""
    return [Seen(site, distance(values[site], expected[site]), what) for site in sites]


def bitwise(
    values: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], sites: Iterable[str], what: str = ""
) -> list[Seen]:
    """The same, where no difference at all is allowed."""
    return [Seen(seen.site, seen.size, what, exact=True) for seen in distances(values, expected, sites)]
