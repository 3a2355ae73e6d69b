"""Attention that is written as several calls: whether they are one, and where the values of the later ones are made.

A module may attend several times with the same queries, keys and mask, and with other values each time: two halves of
wide values, for which fused attention is fast. That is one attention with one pattern.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..recording.flow import Flow, op_name
from ..recording.graph import FunctionCall, Location, Op, Ref
from ..taps.functions import Axis
from .products import Operand

__all__ = ["FUSED", "is_one_attention", "made_ahead"]

FUSED = torch.nn.functional.scaled_dot_product_attention
_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")


def is_one_attention(flow: Flow, softmaxes: Sequence[Op], calls: Sequence[FunctionCall]) -> bool:
    """Whether the softmaxes, made by ``calls``, are all the same computation on the same values: one pattern."""
    first = calls[0]
    if any(made.function is FUSED for made in calls):
        return all(made.function is FUSED and _same_pattern(flow, first, made) for made in calls[1:])
    return all(flow.alike(softmaxes[0].outputs[0], softmax.outputs[0]) for softmax in softmaxes[1:])


def _same_pattern(flow: Flow, one: FunctionCall, other: FunctionCall) -> bool:
    """Whether two calls of fused attention differ in nothing but their values."""
    left, right = (dict(zip(_ARGUMENTS, made.args, strict=False)) | made.kwargs for made in (one, other))
    for arguments in (left, right):
        arguments.pop("value")
    if left.keys() != right.keys():
        return False
    return all(
        flow.alike(value.value, right[name].value)
        if isinstance(value, Ref) and isinstance(right[name], Ref)
        else value == right[name]
        for name, value in left.items()
    )


def made_ahead(flow: Flow, operand: Operand, before: int) -> tuple[FunctionCall, Location, tuple[Axis, ...]] | None:
    """Where a torch function before that with index ``before`` hands out what becomes an operand by being laid out anew
    or by heads being repeated, and the meaning of its axes; None where there is no such place.
    """
    recording = flow.recording
    value, axes = operand.value, operand.axes
    sizes = dict(zip(axes, recording.shapes[value], strict=True))
    while True:
        if _holds(recording.shapes[value], axes, sizes):
            for made in reversed(recording.functions[:before]):
                where = next((at for at, handed in made.outputs.items() if handed == value), None)
                if where is not None and made.call >= 0:
                    return made, where, axes
        op = flow.op(value)
        if op is None or not op.inputs:
            return None
        if op_name(op) in ("transpose", "permute"):
            if len(axes) != len(recording.shapes[value]):
                return None
            axes = _moved_back(op, axes)
        elif op_name(op) != "expand" and flow.passes_through(op) is None:
            return None
        value = op.inputs[0]


def _holds(shape: tuple[int, ...], axes: tuple[Axis, ...], sizes: dict[Axis, int]) -> bool:
    """Whether a tensor has these axes with these sizes; heads may be fewer, to be repeated."""
    if len(shape) != len(axes):
        return False
    return all(
        sizes[axis] == size or (axis in ("head", "batch head") and sizes[axis] % size == 0)
        for axis, size in zip(axes, shape, strict=True)
    )


def _moved_back(op: Op, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes of what a transposition took, from those of what it made."""
    count = len(axes)
    order = [*range(count)]
    if op_name(op) == "transpose":
        left, right = op.args[1] % count, op.args[2] % count
        order[left], order[right] = right, left
    else:
        order = [axis % count for axis in op.args[1]]
    return tuple(axes[order.index(axis)] for axis in range(count))
