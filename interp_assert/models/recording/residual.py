"""The residual sum of a block: how its output is made from its input by adding, scaling, shifting and normalising.

The chain is found by walking back from the block's output; what hangs off it are the addends. Nearly every block is
``x + attention + mlp``; some scale the stream or the addends, and post-norm blocks normalise the sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch

from ..weights.placement import value_of
from .flow import Flow, op_name
from .graph import Call, Op, Ref


@dataclass(frozen=True)
class Factor:
    """A constant times elementwise parameters or buffers, named so that another module's own can be used."""

    constant: float = 1.0
    tensors: tuple[str, ...] = ()

    def times(self, other: Factor) -> Factor:
        return Factor(self.constant * other.constant, self.tensors + other.tensors)

    @property
    def is_one(self) -> bool:
        return self.constant == 1.0 and not self.tensors

    def resolve(self, root: torch.nn.Module, device: torch.device | None = None) -> torch.Tensor | float:
        """The factor's value in a module; on ``device``, or where the module has it."""
        value: torch.Tensor | float = self.constant
        for name in self.tensors:
            value = value * value_of(root, name).to(device=device)
        return value


ONE = Factor()


@dataclass(frozen=True)
class Side:
    """An addend: ``factor * value``."""

    value: int
    factor: Factor


@dataclass(frozen=True)
class Add:
    """The stream plus its sides gives ``value``; ``before`` is the stream's value up to here."""

    sides: tuple[Side, ...]
    before: int
    value: int


@dataclass(frozen=True)
class Scale:
    """The stream times a factor."""

    factor: Factor
    value: int


@dataclass(frozen=True)
class Shift:
    """The stream plus a constant that no component made."""

    factor: Factor
    value: int


@dataclass(frozen=True)
class Norm:
    """The stream through a normalisation module (post-norm blocks)."""

    path: str
    value: int


@dataclass(frozen=True)
class Cast:
    """The stream in another number format (a residual kept in float32)."""

    dtype: torch.dtype
    value: int


Step = Add | Scale | Shift | Norm | Cast


def residual_chain(flow: Flow, block: Call, before: int, after: int) -> list[Step] | None:
    """The steps from ``before`` to ``after`` in order of computation, or None where there is no such chain.

    A chain without normalisation is preferred; sides are split only as far as ``components`` asks.
    """
    for through_norms in (False, True):
        found = _Walk(flow, block, before, after, through_norms).run()
        if found is not None:
            return found
    return None


def split_side(flow: Flow, side: Side, block: Call) -> list[Side]:
    """The parts of a side that the block itself added up (``mlp + attention``); sums inside children are theirs."""
    op = flow.op(side.value)
    if op is None or op.call != block.index:
        return [side]
    if (source := flow.passes_through(op)) is not None:
        return split_side(flow, Side(source, side.factor), block)
    if (scaled := scaling(flow, op)) is not None:
        return split_side(flow, Side(scaled[0], side.factor.times(scaled[1])), block)
    if op_name(op) in ("add", "sub") and all(_same_size(flow, arg, side.value) for arg in op.args[:2]):
        sign = float(op.kwargs.get("alpha", 1)) * (-1.0 if op_name(op) == "sub" else 1.0)
        left = split_side(flow, Side(op.args[0].value, side.factor), block)
        right = split_side(flow, Side(op.args[1].value, side.factor.times(Factor(sign))), block)
        return left + right
    return [side]


def scaling(flow: Flow, op: Op) -> tuple[int, Factor] | None:
    """``(input, factor)`` of a product with a constant or an elementwise parameter; None for anything else."""
    name = op_name(op)
    if name == "div" and isinstance(op.args[0], Ref):
        by = factor_of(flow, op.args[1])
        if by is not None and not by.tensors and by.constant != 0:
            return op.args[0].value, Factor(1.0 / by.constant)
    if name == "mul":
        for at, other in ((0, 1), (1, 0)):
            if isinstance(op.args[at], Ref) and _spans(flow, op, at) and (by := factor_of(flow, op.args[other])):
                return op.args[at].value, by
    return None


def unmasked(flow: Flow, op: Op) -> int | None:
    """What is multiplied by a mask of positions: the same again where no position is padding, as in all our passes."""
    if op_name(op) != "mul":
        return None
    for at, other in ((0, 1), (1, 0)):
        stream, mask = op.args[at], op.args[other]
        if isinstance(mask, Ref) and _same_size(flow, stream, op.outputs[0]):
            small = prod(flow.recording.shapes[mask.value]) < prod(flow.recording.shapes[op.outputs[0]])
            if small and flow.recording.dtypes[flow.origin(mask.value)] == torch.bool:
                return stream.value
    return None


def factor_of(flow: Flow, argument: object) -> Factor | None:
    """A number, a one-element leaf, or a parameter or buffer with at most one axis longer than 1."""
    if isinstance(argument, int | float):
        return Factor(float(argument))
    if not isinstance(argument, Ref):
        return None
    value = flow.origin(argument.value)
    leaf = flow.recording.leaves.get(value)
    if leaf is None:
        return None
    name = flow.name_of(leaf)
    if name is not None and leaf.numel() == max(leaf.shape, default=1):
        return Factor(1.0, (name,))
    return Factor(float(leaf.item())) if leaf.numel() == 1 else None


_NORMALISING = frozenset(
    {"native_layer_norm", "native_group_norm", "native_batch_norm", "_fused_rms_norm", "rms_norm", "rsqrt", "sqrt"}
    | {"var", "var_mean", "std", "norm", "linalg_vector_norm"}
)


def is_norm(flow: Flow, call: Call, source: int, value: int) -> bool:
    """A module that keeps the shape, divides by a size that it works out, and holds no matrix but gains and biases."""
    shapes = flow.recording.shapes
    same = prod(shapes[source]) == prod(shapes[value]) and shapes[source][-1] == shapes[value][-1]
    if not same or any(parameter.ndim > 1 for parameter in call.module.parameters()):
        return False
    return any(_normalises(op) for op in flow.recording.ops[call.first_op : call.end_op])


def _normalises(op: Op) -> bool:
    power = op.args[1] if op_name(op) == "pow" and len(op.args) > 1 else 0
    return op_name(op) in _NORMALISING or (isinstance(power, int | float) and power < 0)


def _same_size(flow: Flow, argument: object, value: int) -> bool:
    shapes = flow.recording.shapes
    return isinstance(argument, Ref) and prod(shapes[argument.value]) == prod(shapes[value])


def _spans(flow: Flow, op: Op, position: int) -> bool:
    return _same_size(flow, op.args[position], op.outputs[0])


class _Walk:
    """One search for the chain, remembering the dead ends."""

    def __init__(self, flow: Flow, block: Call, before: int, after: int, through_norms: bool) -> None:
        self.flow, self.block, self.after, self.through_norms = flow, block, after, through_norms
        self.before, self.goals = before, {before, flow.origin(before)}
        self.memo: dict[int, list[Step] | None] = {}

    def run(self) -> list[Step] | None:
        return self.walk(self.after)

    def walk(self, at: int) -> list[Step] | None:
        if at == self.before or (at in self.goals and self.same_format(at)):
            return []
        if at not in self.memo:
            self.memo[at] = None  # a cycle is a dead end
            self.memo[at] = self.explore(at)
        return self.memo[at]

    def same_format(self, at: int) -> bool:
        return self.flow.recording.dtypes[at] == self.flow.recording.dtypes[self.before]

    def explore(self, at: int) -> list[Step] | None:
        flow = self.flow
        op = flow.op(at)
        if op is None:
            return None
        if self.through_norms and (source := self.norm_input(at, op)) is not None:
            return self.after_step(source[0], lambda: Norm(source[1], at))
        if (onward := flow.passes_through(op)) is not None:
            dtypes = flow.recording.dtypes
            if dtypes[onward] == dtypes[at]:
                return self.walk(onward)
            return self.after_step(onward, lambda: Cast(dtypes[at], at))
        if op_name(op) in ("add", "sub"):
            return self.explore_sum(at, op)
        if (scaled := scaling(flow, op)) is not None:
            return self.after_step(scaled[0], lambda: Scale(scaled[1], at))
        if (kept := unmasked(flow, op)) is not None:
            return self.walk(kept)
        return None

    def explore_sum(self, at: int, op: Op) -> list[Step] | None:
        sign = float(op.kwargs.get("alpha", 1)) * (-1.0 if op_name(op) == "sub" else 1.0)
        for onward, other, factor in ((0, 1, sign), (1, 0, 1.0)):
            stream, side = op.args[onward], op.args[other]
            if not _same_size(self.flow, stream, at):
                continue
            rest = self.walk(stream.value)
            if rest is None:
                continue
            if onward == 1 and sign != 1.0:
                rest = [*rest, Scale(Factor(sign), stream.value)]
            constant = factor_of(self.flow, side)
            if constant is not None:
                return [*rest, Shift(constant.times(Factor(factor)), at)]
            return [*rest, Add((Side(side.value, Factor(factor)),), stream.value, at)]
        return None

    def after_step(self, onward: int, step: Callable[[], Step]) -> list[Step] | None:
        rest = self.walk(onward)
        return None if rest is None else [*rest, step()]

    def norm_input(self, at: int, op: Op) -> tuple[int, str] | None:
        for index in self.flow.recording.ancestors(op.call):
            call = self.flow.recording.calls[index]
            if index == self.block.index:
                return None
            floats = [value for value in call.inputs.values() if self.flow.recording.dtypes[value].is_floating_point]
            if at in call.outputs.values() and len(floats) == 1 and is_norm(self.flow, call, floats[0], at):
                return floats[0], call.path
        return None
