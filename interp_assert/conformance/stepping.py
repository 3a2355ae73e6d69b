"""Stepping with the cache must give what the full pass gives."""

from __future__ import annotations

import torch

from ..models.batching import out_of_memory
from .check import Comparison
from .distances import distance
from .finding import Example, Seen, Trap
from .passes import Passes
from .states import compare_states, has_states
from .traps import Stepping, diagnosed, stepped

__all__ = ["compare_stepping", "lacks_cache"]

CACHES = ("past_key_values", "cache_params", "state", "mems", "past_buckets_states")
"""What implementations call the cache, in their results and in their arguments."""


def cache_name(passes: Passes) -> str | None:
    """The argument that takes the cache, if the model returns one under that name."""
    if not passes.accepts("use_cache"):
        return None
    first = passes.call(torch.ones((1, 1), dtype=torch.long, device=passes.model.device), use_cache=True)
    names = [name for name in CACHES if getattr(first, name, None) is not None and passes.accepts(name)]
    return names[0] if names else None


def lacks_cache(passes: Passes) -> str | None:
    """Why a model cannot be stepped, or should not give what the full pass gives."""
    if "causality" in passes.anatomy.missing:
        return "it is not causal, so a step cannot know what the full pass sees"
    try:
        steppable = cache_name(passes) is not None or has_states(passes)
    except Exception as error:  # a model that offers a cache and fails with it is told so by the check itself
        if out_of_memory(error):
            raise
        return None
    return None if steppable else "it returns no cache that its forward pass would take back"


def compare_stepping(passes: Passes, example: Example) -> Comparison:
    """One token at a time from an empty cache, and after a first part read at once, give the logits of the full pass;
    so do the states that the cache holds on the way, where one pass shows them.

    Where that fails, the known traps are tried: an identity that holds for whoever avoids one holds, and the trap is
    named; one that nobody can avoid is named and stays a fault.
    """
    name = cache_name(passes)
    seen: list[Seen] = []
    traps: dict[str, Trap] = {}
    if name is not None:
        seen, traps = _logits(passes, example, name)
    if has_states(passes):
        seen += compare_states(passes, example)
    return Comparison(seen, tuple(traps.values()))


def _logits(passes: Passes, example: Example, name: str) -> tuple[list[Seen], dict[str, Trap]]:
    ids, length = example.ids, example.ids.shape[1]
    first = min(max(1, length // 2 if example.position is None else example.position), length - 1)
    full = passes.logits(ids)
    ways = {
        "one token at a time": (1,) * length,
        f"{first} at once and the rest one at a time": (first,) + (1,) * (length - first),
        f"{first} at once and the rest at once": (first, length - first),
    }
    seen: list[Seen] = []
    traps: dict[str, Trap] = {}
    for way, pieces in ways.items():
        steps = Stepping(ids, pieces, name)
        logits = stepped(passes, steps)
        size, detail = distance(logits, full), ""
        what = f"stepping with the cache ({way}) does not give the logits of the full pass"
        if not size <= passes.limit:
            detail = _since(logits, full, passes.limit)
            # One fault that nothing explains is enough: what follows may be due to it, and experiments are dear.
            unexplained = any(not before.size <= passes.limit for before in seen)
            known = None if unexplained else diagnosed(passes, steps, full, what, size)
            if known is not None:
                trap, avoidable = known
                traps.setdefault(trap.name, trap)
                detail += f", because {trap.name}"
                size = trap.with_remedy if avoidable else size
        seen.append(Seen("logits", size, what, detail=detail))
    return seen, traps


def _since(logits: torch.Tensor, full: torch.Tensor, limit: float) -> str:
    """From which position on the logits differ."""
    if logits.shape != full.shape:
        return f": their shape is {tuple(logits.shape)}, not {tuple(full.shape)}"
    moved = (at for at in range(full.shape[1]) if not distance(logits[:, at], full[:, at]) <= limit)
    return f" from position {next(moved, 0)} on"
