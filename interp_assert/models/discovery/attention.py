"""The inside of attention: queries, keys, values, pattern and head outputs, found around its softmax.

Every attention computes ``softmax(q kᵀ) v`` whatever its modules are called. The recorded pass shows the softmax (or
the fused function that holds all of it); the product before it is of queries and keys, the product after it of
probabilities and values, and the projection after that takes the heads' outputs side by side. Several softmaxes of the
same scores are one attention, of which each has a part of the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

from ..recording.flow import Flow, op_name
from ..recording.graph import Call, FunctionCall, Location, Op
from ..recording.layouts import AS_PRESENTED, Layout
from ..recording.residual import ONE, Factor, scaling
from ..taps.functions import Axis, FunctionTap, counted
from ..taps.shared import SharedTap, at_all
from ..taps.tap import Route
from .head_outputs import projected
from .kinds import attention_ops
from .products import Operand, Product, product_after, products_before
from .repeated import FUSED, is_one_attention, made_ahead

__all__ = ["Heads", "find_heads"]

_LAYOUT = frozenset({"transpose", "permute", "t"})
_PATTERN: tuple[Axis, ...] = ("batch", "head", "query", "key")
_VECTORS: tuple[Axis, ...] = ("batch", "head", "pos", "feature")

Taken = tuple[FunctionCall, Operand]
"""A call of a torch function, and what of its tensors is meant."""


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
    softmaxes = [op for op in attention_ops(flow, cone) if flow.recording.inside(op.call, block.index)]
    if not softmaxes:
        return _without(heads, "no softmax over the keys of every query was found in it")
    made = [flow.recording.function_of(op) for op in softmaxes]
    calls = [one for one in made if one is not None and one.call >= 0]
    if len(softmaxes) > 1 and (len(calls) < len(softmaxes) or not is_one_attention(flow, softmaxes, calls)):
        reason = f"{len(softmaxes)} different softmax operations in one attention: which is the pattern is unknown"
        return _without(heads, reason)
    if not calls:
        return _without(heads, "its probabilities are not made by a torch function called in a module")
    if calls[0].function is FUSED:
        _add_fused(flow, block, cone, calls, heads)
    else:
        _add_plain(flow, block, cone, softmaxes, calls, heads)
    if flow.length != flow.recording.rows[1]:
        heads.weighted_values = False  # some of the values are of positions that are not the prompt's
    return heads


def _without(heads: Heads, reason: str) -> Heads:
    heads.missing = dict.fromkeys(("attn.q", "attn.k", "attn.v", "attn.pattern", "attn.head_out"), reason)
    return heads


def _add_fused(flow: Flow, block: Call, cone: Sequence[Op], calls: Sequence[FunctionCall], heads: Heads) -> None:
    shapes = flow.recording.shapes
    operands: list[list[Taken]] = []
    for number, name in enumerate(("query", "key", "value")):
        operands.append([])
        for made in calls:
            where: Location = (number,) if (number,) in made.inputs else (name,)
            axes = len(shapes[made.inputs[where]])
            if axes != 4:
                _without(heads, f"fused attention of tensors with {axes} axes, not (batch, head, position, feature)")
                return
            operands[-1].append((made, Operand(where, made.inputs[where], _VECTORS)))
    queries, keys, values = operands
    heads.n_heads = shapes[queries[0][1].value][1]
    _add_operand(flow, queries, "attn.q", heads)
    _add_operand(flow, keys, "attn.k", heads)
    _add_operand(flow, values, "attn.v", heads)
    patterns = [_tap_of(flow, made, "inside", (0,), _PATTERN, _PATTERN, heads=heads.n_heads) for made in calls]
    heads.routes["attn.pattern"] = Route.at(at_all(patterns))
    _add_head_out(flow, block, cone, [(made, Operand((), made.outputs[()], _VECTORS)) for made in calls], heads)


def _add_plain(
    flow: Flow, block: Call, cone: Sequence[Op], softmaxes: Sequence[Op], calls: Sequence[FunctionCall], heads: Heads
) -> None:
    recording = flow.recording
    patterns = [softmax.outputs[0] for softmax in softmaxes]
    shape = recording.shapes[patterns[0]]
    heads.n_heads = shape[0] // recording.rows[0] if len(shape) == 3 else shape[1]
    scores = [
        products_before(flow, softmax.inputs[0], made.index) for softmax, made in zip(softmaxes, calls, strict=True)
    ]
    if len(scores[0]) == 1:  # and so are the others, which are the same computation
        _add_operand(flow, [(product.made, product.left) for (product,) in scores], "attn.q", heads)
        _add_operand(flow, [(product.made, product.right) for (product,) in scores], "attn.k", heads)
    else:
        reason = f"the scores are made of {len(scores[0])} products of queries with something, not of one"
        heads.missing.update({"attn.q": reason, "attn.k": reason})
    found = [product_after(flow, block, pattern, made) for pattern, made in zip(patterns, calls, strict=True)]
    taps = [
        _pattern_tap(flow, pattern, made, product, heads.n_heads)
        for pattern, made, product in zip(patterns, calls, found, strict=True)
    ]
    shown = [tap for tap in taps if tap is not None]
    if len(shown) < len(taps):
        heads.missing["attn.pattern"] = f"{calls[0].name} does not hand out the probabilities that it computes"
    else:
        heads.routes["attn.pattern"] = Route.at(at_all(shown))
    weighted = [product for product in found if product is not None]
    if len(weighted) < len(found):
        reason = "no product of the probabilities with values was found"
        heads.missing.update({"attn.v": reason, "attn.head_out": reason})
        return
    weighted.sort(key=lambda product: product.made.index)
    _add_operand(flow, [(product.made, product.right) for product in weighted], "attn.v", heads)
    outs = [(product.made, Operand((), product.out, product.out_axes)) for product in weighted]
    _add_head_out(flow, block, cone, outs, heads)


def _pattern_tap(
    flow: Flow, pattern: int, made: FunctionCall, weighted: Product | None, n_heads: int
) -> FunctionTap | None:
    """Where the probabilities that one softmax makes are seen; None if nowhere."""
    if weighted is not None and not flow.same(weighted.left.value, pattern):
        # Attention sinks: a share of the probability goes to no value and is cut off before the product.
        taken = weighted.left
        return _tap_of(flow, weighted.made, "input", taken.where, taken.axes, _PATTERN, heads=n_heads)
    merged = len(flow.recording.shapes[pattern]) == 3
    axes: tuple[Axis, ...] = ("batch head", "query", "key") if merged else _PATTERN
    where = next((at for at, value in made.outputs.items() if flow.same(value, pattern)), None)
    return None if where is None else _tap_of(flow, made, "output", where, axes, _PATTERN, heads=n_heads)


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


def _add_operand(flow: Flow, taken: Sequence[Taken], part: str, heads: Heads) -> None:
    """The site of what each of one or several calls takes: of the same queries or keys, or of pieces of values."""
    recording = flow.recording
    taps, own = [], 0
    for made, operand in taken:
        groups, factor = _repeats_and_scale(flow, operand.value)
        if part == "attn.v":
            factor = ONE  # a scale of the values is no part of the softmax's
        shape, before = recording.shapes[operand.value], own
        positions = shape[operand.axes.index("pos")] if "pos" in operand.axes else flow.length
        if positions not in (flow.length, recording.rows[1]):
            heads.missing[part] = "attention takes others beside those of the positions (compressed ones)"
            return
        own = shape[operand.axes.index("head")] if "head" in operand.axes else shape[0] // recording.rows[0]
        own = (heads.n_heads or 1) if part == "attn.q" else own // groups if own % groups == 0 else own
        if before not in (0, own):
            heads.missing[part] = (
                f"of {len(taken)} calls of one attention, one takes {before} heads of values and one {own}"
            )
            return
        taps.append(_tap_of(flow, made, "input", operand.where, operand.axes, factor=factor, heads=own))
    if part != "attn.q":
        heads.n_kv_heads = own
    if part != "attn.v" or len(taps) == 1:
        heads.routes[part] = Route.at(at_all(taps))
        return
    ahead = []
    for _, operand in taken[1:]:
        place = made_ahead(flow, operand, taken[0][0].index)
        if place is None:
            heads.missing[part] = (
                f"of the values of {len(taken)} calls of one attention, some are not made until the first has run"
            )
            return
        ahead.append(_tap_of(flow, place[0], "output", place[1], place[2], heads=own))
    heads.routes[part] = Route.at(SharedTap(tuple(taps), tuple(ahead)))


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


def _add_head_out(flow: Flow, block: Call, cone: Sequence[Op], outs: Sequence[Taken], heads: Heads) -> None:
    """The heads' outputs side by side, where the output projection takes them; else where the product makes them."""
    found = projected(flow, block, cone, [out.value for _, out in outs], heads.n_heads or 1)
    if found is not None:
        heads.routes["attn.head_out"] = Route.at(found.tap)
        heads.weighted_values = found.weighted_values
    elif len(outs) > 1:
        heads.missing["attn.head_out"] = (
            f"no module was seen to take as heads what the {len(outs)} calls of one attention make together"
        )
    else:
        ((made, out),) = outs
        heads.routes["attn.head_out"] = Route.at(_tap_of(flow, made, "output", (), out.axes, heads=heads.n_heads))
        heads.weighted_values = True
