"""Finding the stack of blocks: from what ran, in which order, and which value went from one block to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

from .graph import Call, Location, Recording

_CONTAINERS = (torch.nn.ModuleList, torch.nn.Sequential, torch.nn.ModuleDict)


@dataclass(frozen=True)
class Stage:
    """One execution of one block, and the locations of the residual stream at its entry and exit."""

    call: Call
    entry: Location
    exit: Location
    before: int
    after: int


def find_stages(recording: Recording, stated: Sequence[str] | None = None) -> tuple[str, list[Stage]] | None:
    """The path of the block list and its executions in order, or None where the model has no such list.

    The rule: of the outermost lists whose members ran, the one whose last call ends last among those with at least
    two executions (a one-block model has a list with a single one). A model without such a list is made of its
    recurrent modules (``nn.GRU``). Where a family states the paths of the blocks, they are these.
    """
    if stated is not None:
        paths = set(stated)
        chosen: tuple[str, list[Call]] | None = "", [call for call in recording.calls if call.path in paths]
    else:
        chosen = _block_calls(recording) or _recurrent_calls(recording)
    if chosen is None:
        return None
    path, calls = chosen
    stages = _connect(recording, calls)
    return (path, stages) if stages else None


def _block_calls(recording: Recording) -> tuple[str, list[Call]] | None:
    if not recording.calls:
        return None
    root = recording.calls[0].module
    lists = [
        name
        for name, module in root.named_modules()
        if isinstance(module, _CONTAINERS) and len(list(module.children())) > 0
    ]
    outermost = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists if other != name)]
    best: tuple[tuple[bool, int], str, list[Call]] | None = None
    for name in outermost:
        prefix = f"{name}."
        calls = [
            call
            for call in recording.calls
            if call.path.startswith(prefix)
            and "." not in call.path[len(prefix) :]
            and any(True for _ in call.module.children())
        ]
        if not calls:
            continue
        rank = (len(calls) >= 2, calls[-1].end_op)
        if best is None or rank > best[0]:
            best = (rank, name, calls)
    return None if best is None else (best[1], best[2])


def unwrapped(recording: Recording, stage: Stage) -> Stage:
    """The stage as the innermost module sees it that takes the stream and hands out the block's output: what stands
    around a block (a compiler's, a checkpointing or another library's wrapper) adds nothing.
    """
    inner = [
        call
        for call in recording.calls[stage.call.index + 1 :]
        if call.parent == stage.call.index
        and stage.before in call.inputs.values()
        and stage.after in call.outputs.values()
    ]
    if len(inner) != 1:
        return stage
    entry = next(at for at, value in inner[0].inputs.items() if value == stage.before)
    exit_ = next(at for at, value in inner[0].outputs.items() if value == stage.after)
    return unwrapped(recording, Stage(inner[0], entry, exit_, stage.before, stage.after))


def _recurrent_calls(recording: Recording) -> tuple[str, list[Call]] | None:
    calls = [call for call in recording.calls if isinstance(call.module, torch.nn.RNNBase)]
    return ("", calls) if calls else None


def _streams(recording: Recording, values: dict[Location, int]) -> dict[Location, int]:
    """The floating-point tensors with at least three axes: what could be a residual stream."""
    return {
        at: value
        for at, value in values.items()
        if recording.dtypes[value].is_floating_point and len(recording.shapes[value]) >= 3
    }


def _connect(recording: Recording, calls: list[Call]) -> list[Stage]:
    """Follow the stream: an output of each block that is an input of the next, at the same locations throughout."""
    outs = [_streams(recording, call.outputs) for call in calls]
    ins = [_streams(recording, call.inputs) for call in calls]
    if not calls or not all(outs) or not all(ins):
        return []
    links: list[tuple[Location, Location]] = []
    for left, right in zip(outs, ins[1:], strict=False):
        link = next(((a, b) for a, value in left.items() for b, other in right.items() if value == other), None)
        if link is not None:
            links.append(link)
    if links:
        exit_at, entry_at = max(set(links), key=links.count)
    else:
        exit_at = next(iter(outs[-1]))
        entry_at = _matching_entry(recording, ins[0], outs[-1][exit_at])
    stages = []
    for call, out, into in zip(calls, outs, ins, strict=True):
        leaving = exit_at if exit_at in out else next(iter(out))
        entering = entry_at if entry_at in into else _matching_entry(recording, into, out[leaving])
        stages.append(Stage(call, entering, leaving, into[entering], out[leaving]))
    return stages


def _matching_entry(recording: Recording, inputs: dict[Location, int], leaving: int) -> Location:
    shape = recording.shapes[leaving]
    same = [at for at, value in inputs.items() if recording.shapes[value] == shape]
    if same:
        return same[0]
    size = [at for at, value in inputs.items() if prod(recording.shapes[value]) == prod(shape)]
    return size[0] if size else next(iter(inputs))
