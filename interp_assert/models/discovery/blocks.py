"""Finding the stack of blocks: from what ran, in which order, and which value went from one block to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal

import torch

from ..recording.graph import Call, Location, Recording
from ..taps.tap import Tap, located_tap

_CONTAINERS = (torch.nn.ModuleList, torch.nn.Sequential, torch.nn.ModuleDict)


@dataclass(frozen=True)
class Port:
    """Where the residual stream goes into a block or comes out: a location of a call. ``beside`` are the locations of
    further streams, where each is a tensor of its own.
    """

    call: Call
    side: Literal["input", "output"]
    where: Location
    beside: tuple[Location, ...] = ()

    def value(self, where: Location) -> int:
        """The value that is there."""
        return (self.call.inputs if self.side == "input" else self.call.outputs)[where]

    def values(self) -> tuple[int, ...]:
        """The values of all streams."""
        return tuple(self.value(where) for where in (self.where, *self.beside))

    def tap(self, recording: Recording) -> Tap:
        """Where it is read and written."""
        return located_tap(recording, self.call, self.side, self.where, self.beside)


@dataclass(frozen=True)
class Stage:
    """One execution of one block, and where the residual stream goes in and comes out.

    ``call`` is the block's; where a block is no module but several that run one after the other, it is the call that
    they run in. ``before`` and ``after`` are the stream's values, of its first stream where each is a tensor of its
    own; ``others`` are those of the other streams.
    """

    call: Call
    entry: Port
    exit: Port
    before: int
    after: int
    first_op: int
    end_op: int
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stack:
    """A list of modules that ran: the calls of its members in order."""

    path: str
    calls: tuple[Call, ...]

    @property
    def parent(self) -> str:
        return self.path.rpartition(".")[0]

    def takes_turns_with(self, other: Stack) -> bool:
        """Whether the two ran in turns, not one after the other, and hold modules of the same class."""
        alike = {type(call.module) for call in self.calls} & {type(call.module) for call in other.calls}
        in_turns = self.calls[0].index < other.calls[-1].index and other.calls[0].index < self.calls[-1].index
        return in_turns and bool(alike)


def find_stages(recording: Recording, stated: Sequence[str] | None = None) -> tuple[str, list[Stage]] | None:
    """The path of the block list and its executions in order, or None where the model has no such list.

    The rule: of the outermost lists of composite modules, the one whose last call ends last among those with at least
    two executions (a one-block model has a list with a single one). Lists of such blocks that run in turns with it, and
    whose members also hand the stream on to each other, are part of the same stack. Where members hand nothing on
    because the model keeps the parts of its blocks in several lists, the i-th members of all of them are the i-th
    block. A model without any such list is made of its recurrent modules (``nn.GRU``). Where a family states the paths
    of the blocks, they are these.
    """
    stacks = _stacks(recording, composite=True)
    if stated is not None or not stacks:
        calls = [call for call in recording.calls if _is_alone(call, stated)]
        stages = _connect(recording, calls) if calls else []
        return ("", stages) if stages else None
    chosen = max(stacks, key=lambda stack: (len(stack.calls) >= 2, stack.calls[-1].end_op))
    linked = [stack for stack in stacks if stack.takes_turns_with(chosen) and _links(recording, stack.calls)]
    if chosen in linked:
        together = sorted((call for stack in linked for call in stack.calls), key=lambda call: call.index)
        return chosen.path, _connect(recording, together)
    stages = _connect(recording, chosen.calls)
    if not any(_sums_inside(recording, stage) for stage in stages):
        stages = _side_by_side(recording, chosen) or stages
    return (chosen.path, stages) if stages else None


def _is_alone(call: Call, stated: Sequence[str] | None) -> bool:
    return isinstance(call.module, torch.nn.RNNBase) if stated is None else call.path in stated


def other_stacks(recording: Recording, stages: Sequence[Stage]) -> list[Stack]:
    """Lists of blocks that ran in this pass and are not the stack: encoders, towers, side networks."""
    used = {stage.call.index for stage in stages} | {port.call.index for stage in stages for port in _ports(stage)}
    return [
        stack
        for stack in _stacks(recording, composite=True)
        if len(stack.calls) >= 2
        and _links(recording, stack.calls)
        and not any(set(recording.ancestors(call.index)) & used for call in stack.calls)
    ]


def _ports(stage: Stage) -> tuple[Port, Port]:
    return stage.entry, stage.exit


def _stacks(recording: Recording, *, composite: bool) -> list[Stack]:
    """The outermost lists of modules with the calls of their members, only of composite ones if wanted."""
    if not recording.calls:
        return []
    lists = [
        name
        for name, module in recording.calls[0].module.named_modules()
        if isinstance(module, _CONTAINERS) and len(list(module.children())) > 0
    ]
    outermost = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists if other != name)]
    by_list: dict[str, list[Call]] = {name: [] for name in outermost}
    for call in recording.calls:
        holder = call.path.rpartition(".")[0]
        if holder in by_list and (not composite or any(True for _ in call.module.children())):
            by_list[holder].append(call)
    return [Stack(name, tuple(calls)) for name, calls in by_list.items() if calls]


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
    if len(inner) != 1 or stage.entry.call is not stage.call or stage.entry.beside:
        return stage
    call = inner[0]
    if any(not call.first_op <= op.index < call.end_op for op in recording.ops[stage.first_op : stage.end_op]):
        return stage  # the outer module computes something, too
    entry = next(at for at, value in call.inputs.items() if value == stage.before)
    exit_ = next(at for at, value in call.outputs.items() if value == stage.after)
    ports = Port(call, "input", entry), Port(call, "output", exit_)
    return unwrapped(recording, Stage(call, *ports, stage.before, stage.after, call.first_op, call.end_op))


def _streams(recording: Recording, values: dict[Location, int]) -> dict[Location, int]:
    """The floating-point tensors with at least three axes: what could be a residual stream."""
    return {
        at: value
        for at, value in values.items()
        if recording.dtypes[value].is_floating_point and len(recording.shapes[value]) >= 3
    }


Link = tuple[Location, Location]


def _links(recording: Recording, calls: Sequence[Call]) -> list[list[Link]]:
    """For each call that hands something on to the next: where it comes out and where it goes in."""
    found = []
    for early, late in pairwise(calls):
        outs, ins = _streams(recording, early.outputs), _streams(recording, late.inputs)
        links = [(a, b) for a, value in outs.items() for b, other in ins.items() if value == other]
        if links:
            found.append(links)
    return found


def _connect(recording: Recording, calls: Sequence[Call]) -> list[Stage]:
    """Follow the stream: an output of each block that is an input of the next, at the same locations throughout."""
    outs = [_streams(recording, call.outputs) for call in calls]
    ins = [_streams(recording, call.inputs) for call in calls]
    if not all(outs) or not all(ins):
        return []
    linked = _links(recording, calls)
    beside: list[Link] = []
    if linked:
        firsts = [links[0] for links in linked]
        exit_at, entry_at = max(firsts, key=firsts.count)
        shape = recording.shapes[outs[-1].get(exit_at, next(iter(outs[-1].values())))]
        beside = [
            link
            for link in linked[0]
            if link != (exit_at, entry_at)
            and len(linked) == len(calls) - 1
            and all(link in links and (exit_at, entry_at) in links for links in linked)
            and recording.shapes[outs[0][link[0]]] == shape
            and not _handed_through(link, ins, outs)
        ]
    else:
        exit_at = next(iter(outs[-1]))
        entry_at = _matching_entry(recording, ins[0], outs[-1][exit_at])
    stages = []
    for call, out, into in zip(calls, outs, ins, strict=True):
        leaving = exit_at if exit_at in out else next(iter(out))
        entering = entry_at if entry_at in into else _matching_entry(recording, into, out[leaving])
        entry = Port(call, "input", entering, tuple(at for _, at in beside))
        exit_ = Port(call, "output", leaving, tuple(at for at, _ in beside))
        stages.append(Stage(call, entry, exit_, into[entering], out[leaving], call.first_op, call.end_op))
    return stages


def _handed_through(link: Link, ins: Sequence[dict[Location, int]], outs: Sequence[dict[Location, int]]) -> bool:
    """Whether it is no stream that every block adds to: missing at the first, or returned as it came (the values of
    the first layer, of which later ones take a share).
    """
    leaving, entering = link
    return any(entering not in into or into[entering] == out[leaving] for into, out in zip(ins, outs, strict=True))


def _matching_entry(recording: Recording, inputs: dict[Location, int], leaving: int) -> Location:
    shape = recording.shapes[leaving]
    same = [at for at, value in inputs.items() if recording.shapes[value] == shape]
    if same:
        return same[0]
    size = [at for at, value in inputs.items() if prod(recording.shapes[value]) == prod(shape)]
    return size[0] if size else next(iter(inputs))


def _sums_inside(recording: Recording, stage: Stage) -> bool:
    """Whether a block's output holds its input as an addend, seen from its last additions."""
    todo, seen = [stage.after], set()
    while todo:
        value = todo.pop()
        op = recording.producer.get(value)
        if value == stage.before:
            return True
        if value in seen or op is None or op.index < stage.first_op:
            continue
        seen.add(value)
        if not any(name in op.name for name in ("mm", "linear", "scaled_dot_product")):
            todo.extend(op.inputs)
    return False


def _side_by_side(recording: Recording, chosen: Stack) -> list[Stage]:
    """Blocks whose parts are kept in lists of equal length: the i-th call of each list, all before any (i+1)-th."""
    depth = len(chosen.calls)
    lists = [
        stack
        for stack in _stacks(recording, composite=False)
        if stack.parent == chosen.parent and len(stack.calls) == depth
    ]
    lists.sort(key=lambda stack: stack.calls[0].index)
    turns = [tuple(stack.calls[at] for stack in lists) for at in range(depth)]
    in_order = [call.index for turn in turns for call in turn]
    if len(lists) < 2 or in_order != sorted(in_order):
        return []
    scope = recording.calls[chosen.calls[0].parent]
    entries = [_entry_of(recording, turn[0]) for turn in turns]
    exits = [*entries[1:], _taken_next(recording, turns[-1][-1])]
    stages = []
    for turn, entry, exit_ in zip(turns, entries, exits, strict=True):
        if entry is None or exit_ is None:
            return []
        before, after = entry.value(entry.where), exit_.value(exit_.where)
        stages.append(Stage(scope, entry, exit_, before, after, turn[0].first_op, exit_.call.first_op))
    return stages


def _entry_of(recording: Recording, call: Call) -> Port | None:
    where = next(iter(_streams(recording, call.inputs)), None)
    return None if where is None else Port(call, "input", where)


def _taken_next(recording: Recording, last: Call) -> Port | None:
    """Where the first module after the blocks takes what became of their stream."""
    made = {value for op in recording.ops[last.end_op :] for value in op.outputs} | set(last.outputs.values())
    shapes = {recording.shapes[value] for value in last.outputs.values()}
    for call in recording.calls[last.index + 1 :]:
        for where, value in _streams(recording, call.inputs).items():
            if call.first_op >= last.end_op and value in made and recording.shapes[value] in shapes:
                return Port(call, "input", where)
    return None
