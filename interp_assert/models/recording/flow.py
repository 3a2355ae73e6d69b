"""Following values backwards through a recording: which sum a residual is, what an addend depends on, how logits are
made.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import torch

from .graph import Call, Op, Recording, Ref

_RESHAPES = frozenset({"view", "_unsafe_view", "_reshape_alias", "reshape", "unsqueeze", "squeeze", "expand", "slice"})
_COPIES = frozenset({"clone", "_to_copy", "contiguous", "alias", "detach", "to", "lift_fresh"})
MATMULS = frozenset({"mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "addbmm", "_grouped_mm"})


def op_name(op: Op) -> str:
    """``aten.add.Tensor`` -> ``add``; the in-place underscore is dropped: ``add_`` -> ``add``."""
    name = op.name.split(".")[1] if "." in op.name else op.name
    return name[:-1] if name.endswith("_") and not name.startswith("__") else name


def _same_operation(one: Op, other: Op) -> bool:
    """Whether two operations do the same to the tensors that they take: not if they draw random numbers, and not for
    what a write through another view left behind, which depends on where in memory that was.
    """
    if one.func is None or one.func is not other.func or torch.Tag.nondeterministic_seeded in one.func.tags:
        return False
    return _without_tensors((one.args, one.kwargs)) == _without_tensors((other.args, other.kwargs))


def _without_tensors(tree: Any) -> Any:
    if isinstance(tree, Ref):
        return Ref
    if type(tree) in (tuple, list):
        return [_without_tensors(part) for part in tree]
    return {key: _without_tensors(part) for key, part in tree.items()} if type(tree) is dict else tree


class Flow:
    """Questions about one recording whose ``length`` in positions is a size that no other axis has: that of the
    prompts, or of what the model makes of them before its blocks.
    """

    def __init__(self, recording: Recording, root: torch.nn.Module) -> None:
        self.recording = recording
        self.length = recording.rows[1]
        tensors = (*root.named_parameters(), *root.named_buffers())
        self._names = {
            (tensor.data_ptr(), tuple(tensor.shape)): name
            for name, tensor in tensors
            if tensor.numel() and not tensor.is_meta
        }

    def name_of(self, leaf: torch.Tensor) -> str | None:
        """The name of the parameter or buffer that a leaf is; None for constants and inputs."""
        lent = self.recording.lent.get(id(leaf))
        return lent if lent is not None else self._names.get((leaf.data_ptr(), tuple(leaf.shape)))

    def op(self, value: int) -> Op | None:
        return self.recording.producer.get(value)

    def passes_through(self, op: Op) -> int | None:
        """The one input that this operation hands on unchanged but for dtype or shape in the same order; None if it
        computes.
        """
        name = op_name(op)
        if not op.inputs:
            return None
        source, target = op.inputs[0], op.outputs[0] if op.outputs else None
        if target is None:
            return None
        if name in _COPIES:
            return source
        same_size = prod(self.recording.shapes[source]) == prod(self.recording.shapes[target])
        return source if name in _RESHAPES and same_size else None

    def origin(self, value: int) -> int:
        """The value before all copies, casts and reshapes."""
        while (op := self.op(value)) is not None and (source := self.passes_through(op)) is not None:
            value = source
        return value

    def same(self, left: int, right: int) -> bool:
        """Whether two values are equal up to copies, casts and reshapes."""
        return left == right or self.origin(left) == self.origin(right)

    def alike(self, left: int, right: int) -> bool:
        """Whether two values are equal because the same operations made both of the same values."""
        seen: set[tuple[int, int]] = set()
        todo = [(left, right)]
        while todo:
            pair = todo.pop()
            if pair[0] == pair[1] or pair in seen:
                continue
            seen.add(pair)
            one, other = self.op(pair[0]), self.op(pair[1])
            if one is None or other is None or not _same_operation(one, other):
                return False
            if one.outputs.index(pair[0]) != other.outputs.index(pair[1]):
                return False
            todo += zip(one.inputs, other.inputs, strict=True)
        return True

    def cone(self, value: int, stop: Iterable[int], *, through_matmul: bool = True, since: int = 0) -> list[Op]:
        """Every operation that ``value`` depends on, back to the values in ``stop`` and to operation ``since``;
        optionally not beyond matrix products.
        """
        barrier = {self.origin(at) for at in stop} | set(stop)
        seen: set[int] = set()
        ops: dict[int, Op] = {}
        todo = [value]
        while todo:
            at = todo.pop()
            if at in seen or at in barrier:
                continue
            seen.add(at)
            op = self.op(at)
            if op is None or op.index < since:
                continue
            ops[op.index] = op
            if through_matmul or op_name(op) not in MATMULS:
                todo.extend(op.inputs)
        return [ops[index] for index in sorted(ops)]

    def depends(self, value: int, base: int) -> bool:
        """Whether ``base`` went into ``value`` in any way."""
        origin = self.origin(base)
        goals = {base, origin}
        made = self.op(origin)
        since = -1 if made is None else made.index  # what ran before cannot have taken it
        seen: set[int] = set()
        todo = [value]
        while todo:
            at = todo.pop()
            if at in goals:
                return True
            if at in seen:
                continue
            seen.add(at)
            op = self.op(at)
            if op is not None and op.index > since:
                todo.extend(op.inputs)
        return False

    def outermost_producer(self, value: int, inside: int) -> Call | None:
        """The outermost call within ``inside`` (not itself) that made ``value`` and hands it out."""
        op = self.op(value)
        if op is None:
            return None
        found = None
        for index in self.recording.ancestors(op.call):
            if index == inside:
                return found
            call = self.recording.calls[index]
            if value in call.outputs.values():
                found = call
        return None
