"""The prefix-matching score of every attention head: how much it looks at the token after the previous occurrence.

S[block, head] is the mean, over the queries q of the second copy, of the attention A[q, q - n + 1] (Olsson et al.
2022). It is 0 to 1 and is not TransformerLens's ``detect_head`` score, which divides by the attention of the first
copy too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..models import Model
    from ..models.trace import Trace

__all__ = ["pattern_blocks", "pattern_elements", "prefix_scores"]


def pattern_blocks(model: Model) -> list[int]:
    """The blocks whose attention pattern can be read, and was proven to be one; empty for a model without attention."""
    if not model.has("blocks.*.attn.pattern"):
        return []
    return [i for i in range(model.anatomy.n_blocks) if model.anatomy.has(f"blocks.{i}.attn.pattern")]


def pattern_elements(model: Model, blocks: list[int], length: int, queries: int) -> int:
    """Numbers that the patterns of one row take: those kept, and one whole block's while it is computed."""
    heads = [model.anatomy.blocks[i].n_heads or 1 for i in blocks]
    return sum(heads) * queries * length + max(heads) * length * length


def after_previous_occurrence(query: int, n: int) -> int:
    """The key that an induction head looks at: the token that followed this one the first time."""
    return query - n + 1


def prefix_scores(trace: Trace, blocks: list[int], n_blocks: int, n: int, length: int) -> torch.Tensor:
    """(row, block, head) the mean over the n queries of the second copy; NaN for blocks or heads that are not there.

    The trace holds patterns (row, head, query, key) whose last n queries are the second copy but for the order of
    reading: the query axis has the positions that were asked for, of which the last n are those of the second copy.
    """
    import torch

    queries = range(length - n, length)
    keys = torch.tensor([after_previous_occurrence(q, n) for q in queries])
    scores = []
    for i in blocks:
        pattern = trace[f"blocks.{i}.attn.pattern"][:, :, -n:, :].double()
        at = keys.to(pattern.device)[None, None, :, None].expand(*pattern.shape[:2], -1, 1)
        scores.append(pattern.gather(-1, at)[..., 0].mean(-1).cpu())
    heads = max(score.shape[1] for score in scores)
    out = torch.full((scores[0].shape[0], n_blocks, heads), torch.nan, dtype=torch.float64)
    for i, score in zip(blocks, scores, strict=True):
        out[:, i, : score.shape[1]] = score
    return out
