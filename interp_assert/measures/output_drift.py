"""How far two models' next-token distributions are apart at one position: total variation, KL and the top token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .passes import chunks
from .tokens import in_full, kl_to

if TYPE_CHECKING:
    import torch

__all__ = ["output_distances"]


def output_distances(logits: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """(positions, 3): total variation, KL(base || model) in nats, and 1 where both name the same top token; float64 on
    the CPU, NaN where a distribution is NaN.

    ``logits`` (positions, vocab) and ``base`` (positions, base vocab) share the ids that both have. What either gives
    to ids of its own counts in full towards the total variation; KL is between the two distributions over the shared
    ids, since it would be infinite. Equal logits give exactly 0, 0 and 1.
    """
    import torch

    shared = min(logits.shape[-1], base.shape[-1])
    parts = []
    for part in chunks(len(logits), max(logits.shape[-1], base.shape[-1]), logits.device):
        mine = in_full(logits[part]).log_softmax(-1)
        theirs = in_full(base[part].to(logits.device)).log_softmax(-1)
        same = (mine.argmax(-1) == theirs.argmax(-1)).double()
        apart = (mine[:, :shared].exp() - theirs[:, :shared].exp()).abs().sum(-1, dtype=torch.float64)
        for own in (mine, theirs):
            apart += own[:, shared:].exp().sum(-1, dtype=torch.float64)
        kl = kl_to(*(_within(own, shared) for own in (theirs, mine)))
        # Rounding can take both a hair out of their ranges; NaN stays.
        parts.append(torch.stack([(apart / 2).clamp(0.0, 1.0), kl.double().clamp_min(0.0), same], -1).cpu())
    return torch.cat(parts)


def _within(log_p: torch.Tensor, shared: int) -> torch.Tensor:
    """Log-probabilities over the first ``shared`` ids alone."""
    return log_p if log_p.shape[-1] == shared else log_p[:, :shared].log_softmax(-1)
