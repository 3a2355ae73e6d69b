"""How well logits name a given token: is it the top one, at what rank, with what log-probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["in_full", "kl_to", "log_probability", "rank_of", "top_hits"]


def in_full(logits: torch.Tensor) -> torch.Tensor:
    """Half-precision logits as float32; float32 and float64 stay."""
    import torch

    return logits if logits.dtype == torch.float64 else logits.float()


def rank_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Number of other tokens whose logit is at least the target's: 0 means that it is the one top token.

    Ties count against the target, so that logits that say nothing never look like an answer. ``logits`` (..., vocab),
    ``targets`` (...) -> (...), int64.
    """
    import torch

    own = logits.gather(-1, targets[..., None])
    return (logits >= own).sum(-1, dtype=torch.int32).long() - 1  # counting in int64 takes twice as long


def top_hits(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Whether the target is the one top token, as rank 0 says: (..., vocab), (...) -> (...), bool.

    Ties are looked for only where the target reaches the maximum: a maximum costs a tenth of a count.
    """
    highest = logits.gather(-1, targets[..., None])[..., 0] >= logits.amax(-1)
    hits = highest.clone()
    hits[highest] = rank_of(logits[highest], targets[highest]) == 0
    return hits


def log_probability(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Log-probability in nats of the targets: (..., vocab), (...) -> (...)."""
    return logits.gather(-1, targets[..., None])[..., 0] - logits.logsumexp(-1)


def kl_to(reference: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """KL(reference || other) in nats of two arrays of log-probabilities (..., vocab) -> (...).

    A token to which the reference gives no probability adds nothing.
    """
    import torch

    probability = reference.exp()
    return torch.where(probability > 0, probability * (reference - other), 0.0).sum(-1)
