"""The inside of attention: queries, keys, values, pattern and head outputs, found around its softmax.

Every attention computes ``softmax(q kᵀ) v`` whatever its modules are called. The recorded pass shows the softmax (or
the fused function that holds all of it); the product before it is of queries and keys, the product after it of
probabilities and values, and the projection after that takes the heads' outputs side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

import torch

from ..recording.flow import MATMULS, Flow, op_name
from ..recording.graph import Call, FunctionCall, Location, Op
from ..recording.layouts import AS_PRESENTED, Layout
from ..recording.residual import ONE, Factor, scaling
from ..taps.functions import Axis, FunctionTap, counted
from ..taps.tap import Route, Tap, input_tap
from .kinds import attention_ops
from .products import Operand, product_after, products_before

__all__ = ["Heads", "find_heads"]

FUSED = torch.nn.functional.scaled_dot_product_attention
_LAYOUT = frozenset({"transpose", "permute", "t"})
_PATTERN: tuple[Axis, ...] = ("batch", "head", "query", "key")


@dataclass
class Heads:
    """What was found of one attention; ``missing`` says why a site is not there.

    ``weighted_values``: a head's output is its pattern times its values and nothing else (no gate in between).
    """

    n_heads: int | None = None
    n_kv_heads: int | None = None
    weighted_values: bool = False
    routes: dict[str, Route] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def find_heads(flow: Flow, block: Call, cone: Sequence[Op]) -> Heads:
    """The sites inside the attention whose operations are ``cone``, in the block whose execution is ``block``."""
    heads = Heads()
    attention = [op for op in attention_ops(flow, cone) if flow.recording.inside(op.call, block.index)]
    if len(attention) != 1:
        reason = f"{len(attention)} softmax operations in one attention: which is the pattern is unknown"
        if not attention:
            reason = "no softmax over the keys of every query was found in it"
        heads.missing = dict.fromkeys(("attn.q", "attn.k", "attn.v", "attn.pattern", "attn.head_out"), reason)
        return heads
    made = flow.recording.function_of(attention[0])
    if made is None or made.call < 0:
        reason = "its probabilities are not made by a torch function called in a module"
        heads.missing = dict.fromkeys(("attn.q", "attn.k", "attn.v", "attn.pattern", "attn.head_out"), reason)
        return heads
    if made.function is FUSED:
        _add_fused(flow, block, cone, made, heads)
    else:
        _add_plain(flow, block, cone, attention[0], made, heads)
    if flow.length != flow.recording.rows[1]:
        heads.weighted_values = False  # some of the values are of positions that are not the prompt's
    return heads


def _add_fused(flow: Flow, block: Call, cone: Sequence[Op], made: FunctionCall, heads: Heads) -> None:
    shapes = flow.recording.shapes
    names = ("query", "key", "value")
    operands = []
    for number, name in enumerate(names):
        where: Location = (number,) if (number,) in made.inputs else (name,)
        shape = shapes[made.inputs[where]]
        if len(shape) != 4:
            reason = f"fused attention of tensors with {len(shape)} axes, not (batch, head, position, feature)"
            heads.missing = dict.fromkeys(("attn.q", "attn.k", "attn.v", "attn.pattern", "attn.head_out"), reason)
            return
        operands.append(Operand(where, made.inputs[where], ("batch", "head", "pos", "feature")))
    query, key, value = operands
    heads.n_heads = shapes[query.value][1]
    _add_operand(flow, made, query, "attn.q", heads)
    _add_operand(flow, made, key, "attn.k", heads)
    _add_operand(flow, made, value, "attn.v", heads)
    heads.routes["attn.pattern"] = Route.at(
        _tap_of(flow, made, "inside", (0,), _PATTERN, _PATTERN, heads=heads.n_heads)
    )
    out = made.outputs[()]
    _add_head_out(flow, block, cone, made, out, ("batch", "head", "pos", "feature"), heads)


def _add_plain(flow: Flow, block: Call, cone: Sequence[Op], softmax: Op, made: FunctionCall, heads: Heads) -> None:
    recording = flow.recording
    pattern = softmax.outputs[0]
    shape = recording.shapes[pattern]
    merged = len(shape) == 3
    heads.n_heads = shape[0] // recording.rows[0] if merged else shape[1]
    axes: tuple[Axis, ...] = ("batch head", "query", "key") if merged else _PATTERN
    scores = products_before(flow, softmax.inputs[0], made.index)
    if len(scores) == 1:
        _add_operand(flow, scores[0].made, scores[0].left, "attn.q", heads)
        _add_operand(flow, scores[0].made, scores[0].right, "attn.k", heads)
    else:
        reason = f"the scores are made of {len(scores)} products of queries with something, not of one"
        heads.missing.update({"attn.q": reason, "attn.k": reason})
    weighted = product_after(flow, block, pattern, made)
    tap: FunctionTap | None
    if weighted is not None and not flow.same(weighted.left.value, pattern):
        # Attention sinks: a share of the probability goes to no value and is cut off before the product.
        tap = _tap_of(
            flow, weighted.made, "input", weighted.left.where, weighted.left.axes, _PATTERN, heads=heads.n_heads
        )
    else:
        where = next((at for at, value in made.outputs.items() if flow.same(value, pattern)), None)
        tap = None if where is None else _tap_of(flow, made, "output", where, axes, _PATTERN, heads=heads.n_heads)
    if tap is None:
        heads.missing["attn.pattern"] = f"{made.name} does not hand out the probabilities that it computes"
    else:
        heads.routes["attn.pattern"] = Route.at(tap)
    if weighted is None:
        reason = "no product of the probabilities with values was found"
        heads.missing.update({"attn.v": reason, "attn.head_out": reason})
        return
    _add_operand(flow, weighted.made, weighted.right, "attn.v", heads)
    _add_head_out(flow, block, cone, weighted.made, weighted.out, weighted.out_axes, heads)


def _tap_of(
    flow: Flow,
    made: FunctionCall,
    side: Literal["input", "output", "inside"],
    where: Location,
    axes: tuple[Axis, ...],
    order: tuple[Axis, ...] = ("batch", "pos", "head", "feature"),
    factor: Factor = ONE,
    heads: int | None = None,
) -> FunctionTap:
    path, nth, count = counted(flow.recording, made)
    grid = flow.recording.grid
    layout = AS_PRESENTED if grid is None else Layout(start=grid.start)
    return FunctionTap(path, made.function, count, side, where, factor, nth, axes, order, heads, layout)


def _add_operand(flow: Flow, made: FunctionCall, operand: Operand, part: str, heads: Heads) -> None:
    groups, factor = _repeats_and_scale(flow, operand.value)
    if part == "attn.v":
        factor = ONE  # a scale of the values is no part of the softmax's
    shape, n_heads = flow.recording.shapes[operand.value], heads.n_heads or 1
    positions = shape[operand.axes.index("pos")] if "pos" in operand.axes else flow.length
    if positions not in (flow.length, flow.recording.rows[1]):
        heads.missing[part] = "attention takes others beside those of the positions (compressed ones)"
        return
    own = shape[operand.axes.index("head")] if "head" in operand.axes else shape[0] // flow.recording.rows[0]
    if part == "attn.q":
        own = n_heads
    elif own % groups == 0:
        own //= groups
        heads.n_kv_heads = own
    heads.routes[part] = Route.at(_tap_of(flow, made, "input", operand.where, operand.axes, factor=factor, heads=own))


def _repeats_and_scale(flow: Flow, value: int) -> tuple[int, Factor]:
    """How often each head was repeated to make an operand, and the factor that undoes its scaling by a number.

    Some models scale the queries before the product instead of the product: that is the softmax's scale and no part
    of the query.
    """
    shapes = flow.recording.shapes
    factor = ONE
    while (op := flow.op(value)) is not None:
        name, source = op_name(op), op.inputs[0] if op.inputs else None
        if source is None:
            break
        if name == "expand" and prod(shapes[source]) < prod(shapes[value]):
            return prod(shapes[value]) // prod(shapes[source]), factor
        if name in _LAYOUT or flow.passes_through(op) is not None:
            value = source
        elif (scaled := scaling(flow, op)) is not None and not scaled[1].tensors and scaled[1].constant > 0:
            value, factor = scaled[0], factor.times(Factor(1 / scaled[1].constant))
        else:
            break
    return 1, factor


def _add_head_out(
    flow: Flow,
    block: Call,
    cone: Sequence[Op],
    made: FunctionCall,
    value: int,
    axes: tuple[Axis, ...],
    heads: Heads,
) -> None:
    """The heads' outputs side by side, where the output projection takes them; else where the product makes them."""
    recording = flow.recording
    taken = _projected(flow, block, cone, value, heads.n_heads or 1)
    if taken is not None:
        call, source = taken
        tap = input_tap(recording, call, source)
        assert tap is not None
        heads.routes["attn.head_out"] = Route.at(_split(tap, heads.n_heads or 1))
        heads.weighted_values = _only_laid_out(flow, source, value)
        return
    heads.routes["attn.head_out"] = Route.at(_tap_of(flow, made, "output", (), axes, heads=heads.n_heads))
    heads.weighted_values = True


def _split(tap: Tap, heads: int) -> Tap:
    return Tap(tap.path, tap.side, tap.where, tap.factor, tap.nth, tap.layout, heads)


def _projected(flow: Flow, block: Call, cone: Sequence[Op], value: int, n_heads: int) -> tuple[Call, int] | None:
    """The innermost module that does the first product with what the heads made, and the value that it takes."""
    recording = flow.recording
    size = prod(recording.shapes[value])
    for op in cone:
        if op_name(op) not in MATMULS or op.call < 0:
            continue
        call = recording.calls[op.call]
        if call.index == block.index or any(True for _ in call.module.children()):
            continue
        for source in call.inputs.values():
            shape = recording.shapes[source]
            side_by_side = prod(shape[:-1]) == prod(recording.rows) and shape[-1] % n_heads == 0
            if prod(shape) == size and side_by_side and flow.depends(source, value):
                return call, source
    return None


def _only_laid_out(flow: Flow, value: int, source: int) -> bool:
    """Whether a value is another one with its axes moved and nothing computed."""
    while value != source:
        op = flow.op(value)
        if op is None or not op.inputs:
            return False
        if op_name(op) not in _LAYOUT and flow.passes_through(op) is None:
            return False
        value = op.inputs[0]
    return True
