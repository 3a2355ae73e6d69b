"""Known ways in which implementations break stepping with the cache, each told by an experiment that avoids it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

import torch

from ..models.batching import out_of_memory
from ..models.taps.tap import take
from .distances import distance
from .finding import Trap
from .passes import Passes
from .ties import ties_taken_in_order

__all__ = ["Stepping", "diagnosed", "stepped"]


ENDLESS = 1 << 20


@dataclass(frozen=True)
class Stepping:
    """A pass in pieces: ids (batch, pos), how many tokens each piece has, and the argument that takes the cache."""

    ids: torch.Tensor
    pieces: tuple[int, ...]
    cache: str


def stepped(passes: Passes, steps: Stepping, *, positions: bool = False) -> torch.Tensor:
    """Logits (batch, pos, vocab) of the pieces fed one after another with the cache, with their ``position_ids`` if
    asked."""
    logits, cache, start = [], None, 0
    for piece in steps.pieces:
        options: dict[str, Any] = {"use_cache": True}
        if cache is not None:
            options[steps.cache] = cache
        if positions:
            at = torch.arange(start, start + piece, device=steps.ids.device)
            options["position_ids"] = at.expand(steps.ids.shape[0], piece)
        out = passes.call(steps.ids[:, start : start + piece], **options)
        logits.append(take(out, passes.anatomy.logits_at))
        cache, start = getattr(out, steps.cache), start + piece
    return torch.cat(logits, dim=1)


def diagnosed(passes: Passes, steps: Stepping, full: torch.Tensor, what: str, size: float) -> tuple[Trap, bool] | None:
    """The first known trap without which the logits are those of the full pass, and whether whoever steps can avoid it:
    then the identity holds for those who do. None if no known trap explains the difference."""
    for name, remedy, avoidable, left in _experiments(passes, steps, full):
        if name in passes.futile:
            continue
        try:
            again = left()
        except Exception as error:  # an experiment that this model cannot carry out tells nothing
            if out_of_memory(error):
                raise
            again = inf
        if again <= passes.limit:
            return Trap(name, what, size, remedy, again), avoidable
        passes.futile.add(name)
    return None


Experiment = tuple[str, str, bool, Callable[[], float]]
"""The trap, how it is avoided, whether whoever steps can do that, and what difference is left."""


def _experiments(passes: Passes, steps: Stepping, full: torch.Tensor) -> Iterator[Experiment]:
    if passes.accepts("position_ids"):
        yield (
            "it does not count positions in the cache",
            "with position_ids passed along",
            True,
            lambda: distance(stepped(passes, steps, positions=True), full),
        )
    if max(steps.pieces[1:]) > 1 and not keeps_only_keys(passes):
        one_by_one = Stepping(steps.ids, (steps.pieces[0], *[1] * sum(steps.pieces[1:])), steps.cache)
        yield (
            "several tokens on a warm cache restart the recurrence",
            "one token at a time",
            True,
            lambda: distance(stepped(passes, one_by_one), full),
        )
    if steps.ids.shape[0] > 1:
        yield "its cache holds one row only", "one row at a time", True, lambda: distance(_by_row(passes, steps), full)
    yield (
        "its top-k selections have ties",
        "with ties taken in order",
        False,
        lambda: _with_ties_in_order(passes, steps),
    )
    yield (
        "time steps are limited in the full pass and not in the step",
        "in a copy without time_step_limit",
        False,
        lambda: _in_copy(passes, steps, "time_step_limit", (0.0, inf), _limits_time),
    )
    yield (
        "its cache forgets what the full pass still attends to",
        "in a copy whose sliding_window is longer than any input",
        False,
        lambda: _in_copy(passes, steps, "sliding_window", ENDLESS, lambda window: isinstance(window, int)),
    )


def keeps_only_keys(passes: Passes) -> bool:
    """Whether every block mixes positions by attention only: then the cache holds keys and values, and any number of
    tokens may follow it. A recurrence that takes one step at a time may restart where several come at once."""
    return {kind for block in passes.anatomy.blocks for kind in block.kinds} <= {"attn", "mlp", "side"}


def _by_row(passes: Passes, steps: Stepping) -> torch.Tensor:
    rows = range(steps.ids.shape[0])
    return torch.cat([stepped(passes, Stepping(steps.ids[row : row + 1], steps.pieces, steps.cache)) for row in rows])


def _with_ties_in_order(passes: Passes, steps: Stepping) -> float:
    with ties_taken_in_order():
        return distance(stepped(passes, steps), passes.logits(steps.ids))


def _limits_time(limit: Any) -> bool:
    return isinstance(limit, (tuple, list)) and tuple(limit) != (0.0, inf)


def _in_copy(passes: Passes, steps: Stepping, setting: str, unlimited: Any, limits: Callable[[Any], bool]) -> float:
    """The difference in a copy in which every module and config that limits something by ``setting`` does not; infinite
    if none does."""
    if not any(limits(getattr(part, setting, None)) for part in _parts(passes.module)):
        return inf
    module = copy.deepcopy(passes.module)
    for part in _parts(module):
        if limits(getattr(part, setting, None)):
            setattr(part, setting, unlimited)
    lifted = Passes(passes.model, passes.anatomy.rebind(module), module)
    return distance(stepped(lifted, steps), lifted.logits(steps.ids))


def _parts(module: torch.nn.Module) -> Iterator[Any]:
    for part in module.modules():
        yield part
        config = getattr(part, "config", None)
        if config is not None:
            yield config
