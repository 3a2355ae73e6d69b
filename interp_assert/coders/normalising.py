"""Inputs scaled one by one before they are coded, and reconstructions scaled back, as some coders are trained
(SAELens: ``normalize_activations``)."""

from __future__ import annotations

import torch

__all__ = ["NORMALISATIONS", "normalised", "restored"]

NORMALISATIONS = ("none", "constant_norm_rescale", "layer_norm")

_EPSILON = 1e-5
"""of ``layer_norm``, added to the standard deviation, as SAELens has it"""


def normalised(x: torch.Tensor, how: str) -> torch.Tensor:
    """(n, d): each vector at norm sqrt(d) (``constant_norm_rescale``), or without its mean and in units of its standard
    deviation (``layer_norm``).
    """
    if how == "constant_norm_rescale":
        return x / _norm(x)
    if how == "layer_norm":
        mean, deviation = _moments(x)
        return (x - mean) / (deviation + _EPSILON)
    return x


def restored(reconstruction: torch.Tensor, x: torch.Tensor, how: str) -> torch.Tensor:
    """(n, d): a reconstruction of ``normalised(x)`` in the units of ``x``."""
    if how == "constant_norm_rescale":
        return reconstruction * _norm(x)
    if how == "layer_norm":
        mean, deviation = _moments(x)
        return reconstruction * deviation + mean
    return reconstruction


def _norm(x: torch.Tensor) -> torch.Tensor:
    """(n, 1) relative to sqrt(d)."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-12) / x.shape[-1] ** 0.5


def _moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each vector (n, 1)."""
    return x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
