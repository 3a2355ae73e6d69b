"""The two products of attention: queries with keys before its softmax, probabilities with values after it.

Models write them as matmul, bmm, baddbmm or einsum, with batch and heads on two axes or merged in one; here each is
told by what it multiplies, with the meaning of every axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..recording.flow import Flow
from ..recording.graph import Call, FunctionCall, Location
from ..taps.functions import Axis

__all__ = ["Operand", "Product", "product_after", "products_before"]

_PRODUCTS = frozenset(
    {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm, torch.Tensor.bmm, torch.einsum}
)
_PRODUCTS_WITH_SUM = frozenset({torch.baddbmm, torch.Tensor.baddbmm})


@dataclass(frozen=True)
class Operand:
    """A tensor argument of a product, with the meaning of its axes."""

    where: Location
    value: int
    axes: tuple[Axis, ...]


@dataclass(frozen=True)
class Product:
    """A product of two operands made by one torch function."""

    made: FunctionCall
    left: Operand
    right: Operand
    out: int
    out_axes: tuple[Axis, ...]


def products_before(flow: Flow, scores: int, before: int) -> list[Product]:
    """The products of queries and keys that went into the scores, looking through scaling, masking and capping."""
    recording = flow.recording
    found: dict[int, Product] = {}
    seen: set[int] = set()
    todo = [scores]
    while todo:
        value = todo.pop()
        op = flow.op(value)
        if value in seen or op is None:
            continue
        seen.add(value)
        made = recording.function_of(op)
        if made is not None and (product := _as_product(flow, made, of_scores=True)) is not None:
            if made.index < before and _is_scores(flow, product):
                found[made.index] = product
            continue
        todo += [source for source in op.inputs if flow.length in recording.shapes[source][-2:-1]]
    return [found[index] for index in sorted(found)]


def _is_scores(flow: Flow, product: Product) -> bool:
    shape = flow.recording.shapes[product.out]
    return shape[-2] == flow.length <= shape[-1]


def product_after(flow: Flow, block: Call, pattern: int, softmax: FunctionCall) -> Product | None:
    """The product of the probabilities (or of a part of them: attention sinks are cut off) with the values."""
    recording = flow.recording
    carried = {pattern}
    for made in recording.functions[softmax.index + 1 :]:
        if not recording.inside(made.call, block.index):
            return None
        first = next((value for value in made.inputs.values() if any(flow.same(value, at) for at in carried)), None)
        if first is None:
            continue
        product = _as_product(flow, made, of_scores=False)
        if product is not None:
            return product if flow.same(product.left.value, first) else None
        carried |= {
            value
            for value in made.outputs.values()
            if recording.shapes[value][-2:-1] == recording.shapes[pattern][-2:-1]
        }
    return None


def _as_product(flow: Flow, made: FunctionCall, *, of_scores: bool) -> Product | None:
    """A function call as the product of queries and keys (``of_scores``) or that of probabilities and values."""
    if made.function is torch.einsum:
        return _as_einsum(flow, made, of_scores=of_scores)
    if made.function in _PRODUCTS_WITH_SUM:
        places: Sequence[tuple[Location, Location]] = (((1,), ("batch1",)), ((2,), ("batch2",)))
    elif made.function in _PRODUCTS:
        places = (((0,), ("input",)), ((1,), ("other",), ("mat2",)))  # type: ignore[assignment]
    else:
        return None
    operands = [next((at for at in choice if at in made.inputs), None) for choice in places]
    if None in operands or () not in made.outputs:
        return None
    left, right = operands
    assert left is not None
    assert right is not None
    shapes = flow.recording.shapes
    out = made.outputs[()]
    lead: dict[int, tuple[Axis, ...]] = {4: ("batch", "head"), 3: ("batch head",)}
    if any(len(shapes[value]) not in lead for value in (made.inputs[left], made.inputs[right], out)):
        return None
    before, after = lead[len(shapes[made.inputs[left]])], lead[len(shapes[made.inputs[right]])]
    if of_scores:
        return Product(
            made,
            Operand(left, made.inputs[left], (*before, "pos", "feature")),
            Operand(right, made.inputs[right], (*after, "feature", "pos")),
            out,
            (*before, "query", "key"),
        )
    return Product(
        made,
        Operand(left, made.inputs[left], (*before, "query", "key")),
        Operand(right, made.inputs[right], (*after, "pos", "feature")),
        out,
        (*before, "pos", "feature"),
    )


def _as_einsum(flow: Flow, made: FunctionCall, *, of_scores: bool) -> Product | None:
    """An einsum of two operands over batch, head, positions and a feature, read off its equation."""
    equation = made.args[0] if made.args and isinstance(made.args[0], str) else ""
    terms, _, result = equation.replace(" ", "").partition("->")
    names = terms.split(",")
    if len(names) != 2 or not all(len(name) == 4 for name in (*names, result)) or () not in made.outputs:
        return None
    places: list[Location] = [at for at in made.inputs if at[0] != 0]
    if len(places) != 2:
        return None
    shapes, out = flow.recording.shapes, made.outputs[()]
    feature = set(names[0]) & set(names[1]) - set(result)
    shared = [letter for letter in result if letter in names[0] and letter in names[1]]
    if len(feature) != 1 or len(shared) != 2:
        return None
    sizes = dict(zip(names[0] + names[1], shapes[made.inputs[places[0]]] + shapes[made.inputs[places[1]]], strict=True))
    batch, head = shared if sizes[shared[0]] == flow.recording.rows[0] else shared[::-1]
    (met,) = feature
    own = [next(letter for letter in name if letter not in (batch, head, met)) for name in names]
    roles: dict[str, Axis]
    if of_scores:  # query and feature, key and feature
        if result[-2:] != "".join(own):
            return None
        roles = {batch: "batch", head: "head", met: "feature", own[0]: "pos", own[1]: "pos"}
    else:  # query and key, key and feature
        roles = {batch: "batch", head: "head", met: "pos", own[0]: "query", own[1]: "feature"}
    left, right = (
        Operand(place, made.inputs[place], tuple(roles[letter] for letter in name))
        for place, name in zip(places, names, strict=True)
    )
    if not of_scores:
        left = Operand(left.where, left.value, tuple("key" if axis == "pos" else axis for axis in left.axes))
    after: dict[str, Axis] = {
        **roles,
        own[0]: "query" if of_scores else "pos",
        own[1]: "key" if of_scores else "feature",
    }
    return Product(made, left, right, out, tuple(after[letter] for letter in result))
