"""Identities of attention: a pattern is made of shares, of the past only, and a head gives its values so weighted."""

from __future__ import annotations

import torch

from .check import Comparison
from .distances import distance
from .finding import Example, Seen
from .passes import Passes

__all__ = ["compare_attention", "lacks_patterns"]


def _with_patterns(passes: Passes) -> list[int]:
    return [i for i in range(passes.anatomy.n_blocks) if f"blocks.{i}.attn.pattern" in passes.anatomy.routes]


def lacks_patterns(passes: Passes) -> str | None:
    """Why no attention pattern can be read."""
    if _with_patterns(passes):
        return None
    reasons = [reason for site, reason in passes.anatomy.missing.items() if site.endswith("attn.pattern")]
    return f"it has no attention patterns: {reasons[0] if reasons else 'no block has attention'}"


def compare_attention(passes: Passes, example: Example) -> Comparison:
    """At every block: shares add up to 1 at most, none goes to a later position, and where nothing else is computed in
    between, a head's output is its values weighted by them."""
    routes, blocks = passes.anatomy.routes, _with_patterns(passes)
    parts = ("attn.pattern", "attn.v", "attn.head_out")
    wanted = [site for i in blocks for part in parts if (site := f"blocks.{i}.{part}") in routes]
    values = passes.look(example.ids, wanted)
    seen = []
    for i in blocks:
        site = f"blocks.{i}.attn.pattern"
        pattern = values[site].double()
        total = pattern.sum(-1)
        seen.append(Seen(site, float((total - 1).clamp(min=0).max()), "the shares of a query add up to more than 1"))
        if pattern.shape[-1] == pattern.shape[-2] and "causality" not in passes.anatomy.missing:
            later = torch.triu(pattern, diagonal=1).sum(-1)
            seen.append(Seen(site, float(later.max()), "a query attends to later positions"))
        if passes.anatomy.blocks[i].weighted_values and all(f"blocks.{i}.{part}" in routes for part in parts):
            value, out = values[f"blocks.{i}.attn.v"].double(), values[f"blocks.{i}.attn.head_out"]
            value = value.repeat_interleave(pattern.shape[1] // value.shape[2], 2)
            made = torch.einsum("bhqk,bkhd->bqhd", pattern, value)
            what = "a head's output is not its values weighted by its pattern"
            seen.append(Seen(f"blocks.{i}.attn.head_out", distance(made, out), what))
    return Comparison(seen)
