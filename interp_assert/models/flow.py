"""Following values backwards through a recording: which sum a residual is, what an addend depends on, how logits are
made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from .graph import Call, Op, Recording, Ref

_RESHAPES = frozenset({"view", "_unsafe_view", "_reshape_alias", "reshape", "unsqueeze", "squeeze", "expand", "slice"})
_COPIES = frozenset({"clone", "_to_copy", "contiguous", "alias", "detach", "to", "lift_fresh"})
MATMULS = frozenset({"mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "addbmm"})
ATTENTION = frozenset({"_softmax", "softmax", "_safe_softmax"})


def op_name(op: Op) -> str:
    """``aten.add.Tensor`` -> ``add``; the in-place underscore is dropped: ``add_`` -> ``add``."""
    name = op.name.split(".")[1] if "." in op.name else op.name
    return name[:-1] if name.endswith("_") and not name.startswith("__") else name


@dataclass(frozen=True)
class Term:
    """An addend of a residual sum: ``scale * value``, added by the operation number ``op``."""

    value: int
    scale: float
    op: int


class Flow:
    """Questions about one recording of a batch of ``length`` positions (a size that no other axis of the model has)."""

    def __init__(self, recording: Recording, length: int) -> None:
        self.recording = recording
        self.length = length

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

    def scaling(self, op: Op) -> tuple[int, float] | None:
        """``(input, factor)`` of a multiplication or division by a constant number; None for anything else."""
        name = op_name(op)
        if name not in ("mul", "div") or not isinstance(op.args[0], Ref):
            return None
        factor = self.constant(op.args[1])
        if factor is not None:
            return op.args[0].value, factor if name == "mul" else 1.0 / factor
        if name == "mul" and isinstance(op.args[1], Ref):
            factor = self.constant(op.args[0])
            if factor is not None:
                return op.args[1].value, factor
        return None

    def constant(self, argument: Any) -> float | None:
        """The number behind an argument: a Python number or a leaf tensor with one element."""
        if isinstance(argument, int | float):
            return float(argument)
        if isinstance(argument, Ref):
            leaf = self.recording.leaves.get(argument.value)
            if leaf is not None and leaf.numel() == 1:
                return float(leaf.item())
            op = self.op(argument.value)
            if op is not None and leaf is None and prod(self.recording.shapes[argument.value]) == 1:
                source = self.passes_through(op)
                return self.constant(Ref(source)) if source is not None else None
        return None

    def origin(self, value: int) -> int:
        """The value before all copies, casts and reshapes."""
        while (op := self.op(value)) is not None and (source := self.passes_through(op)) is not None:
            value = source
        return value

    def same(self, left: int, right: int) -> bool:
        """Whether two values are equal up to copies, casts and reshapes."""
        return left == right or self.origin(left) == self.origin(right)

    def chain(self, value: int, base: int) -> list[tuple[Op, int]] | None:
        """The additions and scalings that lead from ``base`` to ``value``, last first, each with its input on the
        way.

        The residual stream keeps its shape: an operand that is broadcast (a bias) is not on the way. None where
        ``value`` is not such a sum.
        """
        shape = self.recording.shapes[value]
        memo: dict[int, list[tuple[Op, int]] | None] = {}

        def walk(at: int) -> list[tuple[Op, int]] | None:
            if at == base or self.origin(at) == self.origin(base):
                return []
            if at in memo:
                return memo[at]
            memo[at] = None
            op = self.op(at)
            if op is None:
                return None
            name = op_name(op)
            found: list[tuple[Op, int]] | None = None
            if (source := self.passes_through(op)) is not None:
                found = walk(source)
            elif name in ("add", "sub"):
                for operand in op.args[:2]:
                    if isinstance(operand, Ref) and prod(self.recording.shapes[operand.value]) == prod(shape):
                        rest = walk(operand.value)
                        if rest is not None:
                            found = [(op, operand.value), *rest]
                            break
            elif (scaled := self.scaling(op)) is not None:
                rest = walk(scaled[0])
                found = None if rest is None else [(op, scaled[0]), *rest]
            memo[at] = found
            return found

        return walk(value)

    def terms(self, value: int, base: int, block: int) -> tuple[list[Term], list[int], float] | None:
        """``value == base_scale * base + sum(term.scale * term.value)``: the terms in order, the partial sums, the
        base's scale.

        A side operand is split further only where the block itself added it up (``mlp + attention``); sums inside a
        child module are that module's affair.
        """
        chain = self.chain(value, base)
        if chain is None:
            return None
        terms: list[Term] = []
        partial: list[int] = []
        scale = 1.0
        for op, onward in chain:
            partial.append(op.outputs[0])
            scaled = self.scaling(op)
            if scaled is not None and scaled[0] == onward:
                scale *= scaled[1]
                continue
            first, second = op.args[0], op.args[1]
            sign = -1.0 if op_name(op) == "sub" else 1.0
            alpha = float(op.kwargs.get("alpha", 1))
            if first == Ref(onward):
                side, factor = second, sign * alpha
            else:
                side, factor = first, 1.0
                scale *= sign * alpha
            if not isinstance(side, Ref):
                continue  # a constant shift: no component's doing
            found = self._split(side.value, scale * factor, op.index, block)
            terms.extend(found)
        terms.reverse()
        partial.reverse()
        return terms, partial, scale

    def _split(self, value: int, scale: float, at: int, block: int) -> list[Term]:
        op = self.op(value)
        if op is None or op.call != block:
            return [Term(value, scale, at)]
        if (source := self.passes_through(op)) is not None:
            return self._split(source, scale, at, block)
        if (scaled := self.scaling(op)) is not None:
            return self._split(scaled[0], scale * scaled[1], at, block)
        if op_name(op) in ("add", "sub") and all(
            isinstance(side, Ref) and prod(self.recording.shapes[side.value]) == prod(self.recording.shapes[value])
            for side in op.args[:2]
        ):
            alpha = float(op.kwargs.get("alpha", 1)) * (-1.0 if op_name(op) == "sub" else 1.0)
            right = self._split(op.args[1].value, scale * alpha, at, block)
            left = self._split(op.args[0].value, scale, at, block)
            return right + left
        return [Term(value, scale, at)]

    def cone(self, value: int, stop: Iterable[int], *, through_matmul: bool = True) -> list[Op]:
        """Every operation that ``value`` depends on, back to the values in ``stop``; optionally not beyond matrix
        products.
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
            if op is None:
                continue
            ops[op.index] = op
            if through_matmul or op_name(op) not in MATMULS:
                todo.extend(op.inputs)
        return [ops[index] for index in sorted(ops)]

    def depends(self, value: int, base: int) -> bool:
        """Whether ``base`` went into ``value`` in any way."""
        goals = {base, self.origin(base)}
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
            if op is not None:
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
