"""What the heads of an attention hand to its output projection, and how many they are there: fewer than patterns where
some are subtracted from others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod

from ..recording.flow import MATMULS, Flow, op_name
from ..recording.graph import Call, Op
from ..taps.tap import Tap, input_tap

__all__ = ["Projected", "projected"]

_LAYOUT = frozenset({"transpose", "permute", "t"})


@dataclass(frozen=True)
class Projected:
    """Where the output projection takes the heads; ``weighted_values``: they are pattern times values, nothing else."""

    tap: Tap
    weighted_values: bool


def projected(flow: Flow, block: Call, cone: Sequence[Op], values: Sequence[int], n_heads: int) -> Projected | None:
    """Where the output projection of an attention takes what its ``n_heads`` heads made: the ``values``, one for each
    of its calls in order of execution. None where no module does the first product with them, or where their heads
    are not seen apart before it.
    """
    taken = _of_same_size(flow, block, cone, values[0], n_heads) if len(values) == 1 else None
    heads: int | None = n_heads
    if taken is None:
        taken = _without_product(flow, block, cone, values)
        heads = None if taken is None else _heads_in(flow, taken[1], values, n_heads)
    if taken is None or heads is None:
        return None
    call, source = taken
    tap = input_tap(flow.recording, call, source)
    assert tap is not None
    return Projected(replace(tap, heads=heads), heads == n_heads and _is_side_by_side(flow, source, values))


def _candidates(flow: Flow, block: Call, cone: Sequence[Op]) -> Iterable[tuple[Call, int]]:
    """The innermost modules that do products, and the values of vectors for every position that they take."""
    recording = flow.recording
    for op in cone:
        if op_name(op) not in MATMULS or op.call < 0:
            continue
        call = recording.calls[op.call]
        if call.index == block.index or any(True for _ in call.module.children()):
            continue
        for source in call.inputs.values():
            if prod(recording.shapes[source][:-1]) == prod(recording.rows):
                yield call, source


def _of_same_size(flow: Flow, block: Call, cone: Sequence[Op], value: int, n_heads: int) -> tuple[Call, int] | None:
    """The module that does the first product with what the heads made, and the value, no smaller, that it takes."""
    shapes = flow.recording.shapes
    for call, source in _candidates(flow, block, cone):
        fits = prod(shapes[source]) == prod(shapes[value]) and shapes[source][-1] % n_heads == 0
        if fits and flow.depends(source, value):
            return call, source
    return None


def _without_product(flow: Flow, block: Call, cone: Sequence[Op], values: Sequence[int]) -> tuple[Call, int] | None:
    """The module that takes what is made of all the values, by whatever is no matrix product, and its input."""
    for call, source in _candidates(flow, block, cone):
        if all(flow.depends(source, value) for value in values):
            between = _between(flow, source, values)
            products = [op for op in between if op_name(op) in MATMULS]
            return None if any(_takes(flow, op, values) for op in products) else (call, source)
    return None


def _heads_in(flow: Flow, source: int, values: Sequence[int], n_heads: int) -> int | None:
    """How many heads stand side by side in vectors: so many as were on an axis of their own before, if they were."""
    shapes, rows = flow.recording.shapes, flow.recording.rows
    for op in reversed(_between(flow, source, values)):
        for value in op.outputs:
            shape = shapes[value]
            apart = len(shape) >= 3 and prod(shape[:-2]) == prod(rows) and prod(shape[-2:]) == shapes[source][-1]
            if apart and (shape[-2] > 1 or n_heads == 1) and all(flow.depends(value, made) for made in values):
                return shape[-2]
    return None


def _between(flow: Flow, source: int, values: Sequence[int]) -> list[Op]:
    """What was computed after the first of the values was there, for ``source``."""
    made = flow.op(values[0])
    return flow.cone(source, values, since=0 if made is None else made.index)


def _takes(flow: Flow, op: Op, values: Sequence[int]) -> bool:
    return any(flow.depends(taken, value) for taken in op.inputs for value in values)


def _is_side_by_side(flow: Flow, source: int, values: Sequence[int]) -> bool:
    """Whether a value is others with their axes moved, the features of all side by side, and nothing computed."""
    if len(values) == 1:
        return _laid_out_from(flow, source, values[0])
    joining = _computing(flow, source)
    if joining is None or op_name(joining) != "cat" or len(joining.inputs) != len(values):
        return False
    axis, count = (*joining.args, 0)[1], len(flow.recording.shapes[joining.outputs[0]])
    parts = zip(joining.inputs, values, strict=True)
    return axis in (-1, count - 1) and all(_laid_out_from(flow, part, value) for part, value in parts)


def _computing(flow: Flow, value: int) -> Op | None:
    """The operation that made a value, but for moving its axes."""
    while (op := flow.op(value)) is not None and op.inputs:
        if op_name(op) not in _LAYOUT and flow.passes_through(op) is None:
            return op
        value = op.inputs[0]
    return None


def _laid_out_from(flow: Flow, value: int, source: int) -> bool:
    """Whether a value is another one with its axes moved and nothing computed."""
    while value != source:
        op = flow.op(value)
        if op is None or not op.inputs:
            return False
        if op_name(op) not in _LAYOUT and flow.passes_through(op) is None:
            return False
        value = op.inputs[0]
    return True
