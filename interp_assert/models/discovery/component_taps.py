"""Where the values of a block's components are read and written: addends, module outputs, neurons, the residual
between a mixer and the MLP.
"""

from __future__ import annotations

from math import prod

from ..recording.flow import MATMULS, Flow, op_name
from ..recording.graph import Call, Op
from ..recording.residual import Cast, Side, scaling
from ..taps.functions import made_by_function, taken_by_function
from ..taps.tap import AnyTap, Route, Tap, input_tap, located_tap, output_tap
from .blocks import Stage
from .components import Anatomised, BlockParts, Component

__all__ = ["add_mid", "add_neurons", "add_out", "add_raw"]


def add_out(flow: Flow, stage: Stage, component: Component, parts: BlockParts) -> None:
    """The addend of a component: the sum of its sides."""
    site = f"{component.name}.out"
    taps = [_tap_of_side(flow, stage, side) for side in component.sides]
    known = [tap for tap in taps if tap is not None]
    if len(known) < len(taps) or not known:
        parts.missing[site] = "the addend is handed out neither by a module nor by a torch function"
    else:
        known.sort(key=lambda tap: _ends(flow, tap))
        parts.routes[site] = Route(tuple(known), known[-1], tuple(known[:-1]))


def add_raw(flow: Flow, stage: Stage, component: Component, parts: BlockParts) -> None:
    """What the module of a component hands out."""
    raw = component.call or _mixer_call(flow, stage.call, list(component.cone))
    floats = (
        {} if raw is None else {at: v for at, v in raw.outputs.items() if flow.recording.dtypes[v].is_floating_point}
    )
    if raw is None or not floats:
        parts.missing[f"{component.name}.out_raw"] = "no module of the block holds this computation"
    else:
        tap = located_tap(flow.recording, raw, "output", next(iter(floats)))
        parts.routes[f"{component.name}.out_raw"] = Route.at(tap)


def add_neurons(flow: Flow, stage: Stage, component: Component, parts: BlockParts) -> None:
    """What the down-projection of an MLP takes."""
    found = _down_projection(flow, stage, component)
    if isinstance(found, str):
        parts.missing[f"{component.name}.neurons"] = found
    else:
        parts.routes[f"{component.name}.neurons"] = Route.at(found)


def _down_projection(flow: Flow, stage: Stage, component: Component) -> AnyTap | str:
    """Where an MLP's last matrix product takes its input, or why there is no such place."""
    recording, block = flow.recording, stage.call
    ends = [side.value for side in component.sides] or list(component.call.outputs.values() if component.call else ())
    products = {op.index: op for op in component.cone if op_name(op) in MATMULS}
    back = [flow.cone(end, [stage.before], through_matmul=False, since=stage.first_op) for end in ends]
    last = {op.index for cone in back for op in cone} & set(products)
    if len(last) != 1:
        return f"{len(last)} final matrix products (gated output or experts), not one down-projection"
    if len(products) < 2:
        return "a single matrix: there are no neurons between an up- and a down-projection"
    product = products[last.pop()]
    neurons = [value for value in product.inputs if flow.depends(value, stage.before)]
    if len(neurons) != 1 or prod(recording.shapes[neurons[0]][:-1]) != recording.rows[0] * flow.length:
        return "the down-projection does not see every position once (experts)"
    down = recording.calls[product.call]
    taken = next((value for value in down.inputs.values() if flow.same(value, neurons[0])), None)
    tap: AnyTap | None = None
    if taken is not None and down.index != block.index and recording.inside(down.index, block.index):
        tap = input_tap(recording, down, taken)
    tap = tap or _inside(block, made_by_function(recording, flow.origin(neurons[0])))
    return tap or "what the down-projection multiplies is handed out by no module and no function"


def add_mid(flow: Flow, stage: Stage, summed: Anatomised, parts: BlockParts) -> None:
    """The residual between the mixers and the MLP: the stream that the MLP reads, after the mixers' addition."""
    chain, additions = list(summed.chain), summed.additions
    names = " and ".join(parts.kinds) or "nothing"
    ending = [at for at, (_, components) in enumerate(additions) if [part.kind for part in components] == ["mlp"]]
    mixers = [part.kind != "mlp" for _, components in additions[: ending[0] if ending else 0] for part in components]
    if len(ending) != 1 or not mixers or not all(mixers):
        how = f"{names} are added in {'parallel' if parts.parallel else 'one block'}"
        how = f"the block adds {names} alone" if len(parts.kinds) == 1 else how
        parts.missing["resid_mid"] = f"{how}: there is no residual between a mixer and an MLP"
        return
    (first, brought), (second, mlps) = additions[ending[0] - 1], additions[ending[0]]
    between = chain[chain.index(first) : chain.index(second)]
    read = [step for step in between if any(flow.depends(side.value, step.value) for side in mlps[0].sides)]
    if parts.parallel or not read:
        parts.missing["resid_mid"] = f"{names} are added in parallel: there is no residual between them"
        return
    middle = read[-1].value
    visible = _tap_of_value(flow, stage.call, middle)
    if visible is not None and visible.side == "output":
        parts.routes["resid_mid"] = Route.at(visible)
        return
    carriers = [parts.routes.get(f"{component.name}.out") for component in brought]
    before = _entry_or_tap(flow, stage, first.before)
    taps = [tap for route in carriers if route is not None for tap in route.read]
    straight = all(isinstance(step, Cast) for step in between[1 : between.index(read[-1]) + 1])
    if None in carriers or before is None or not straight or not all(isinstance(tap, Tap) for tap in taps):
        made = _inside(stage.call, made_by_function(flow.recording, middle))
        if made is None:
            parts.missing["resid_mid"] = "the partial sum is handed out neither by a module nor by a torch function"
        else:
            parts.routes["resid_mid"] = Route.at(made)
        return
    taps.sort(key=lambda tap: _ends(flow, tap))
    bases = (before, *taps[:-1])
    parts.routes["resid_mid"] = Route((visible,) if visible is not None else (*bases, taps[-1]), taps[-1], bases)


def _tap_of_side(flow: Flow, stage: Stage, side: Side) -> AnyTap | None:
    """Where an addend is handed out by a module, looking through copies and scalings done by functions; else where a
    function makes it.
    """
    value, factor = side.value, side.factor
    shapes = flow.recording.shapes
    while (call := flow.outermost_producer(value, stage.call.index)) is None:
        op = flow.op(value)
        if op is None:
            return None
        if (source := flow.passes_through(op)) is not None:
            value = source
        elif (scaled := scaling(flow, op)) is not None:
            value, factor = scaled[0], factor.times(scaled[1])
        elif _is_residual(flow, shapes[side.value], shapes[stage.after]):
            made = made_by_function(flow.recording, side.value, side.factor)
            return _inside(stage.call, made or taken_by_function(flow.recording, side.value, side.factor))
        else:
            return None
    return output_tap(flow.recording, call, value, factor)


def _is_residual(flow: Flow, shape: tuple[int, ...], residual: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape is added to the stream as a whole, perhaps with its streams on an axis of their
    own.
    """
    grid = flow.recording.grid
    apart = grid is not None and grid.merged == "feature" and len(shape) == 4 and prod(shape) == prod(residual)
    return shape == residual or apart


def _inside(block: Call, tap: AnyTap | None) -> AnyTap | None:
    """A tap, if it is reached while the block runs."""
    return tap if tap is not None and (tap.path == block.path or tap.path.startswith(f"{block.path}.")) else None


def _ends(flow: Flow, tap: AnyTap) -> int:
    return next(
        call.end_op
        for call in flow.recording.calls
        if call.path == tap.path and (tap.nth is None or tap.nth == call.nth)
    )


def _mixer_call(flow: Flow, block: Call, cone: list[Op]) -> Call | None:
    """The direct child of the block that did the last matrix product of an addend."""
    for op in sorted(cone, key=lambda op: op.index, reverse=True):
        if op_name(op) in MATMULS or "scaled_dot_product" in op_name(op):
            child = flow.recording.child_towards(op.call, block.index)
            if child is not None:
                return flow.recording.calls[child]
    return None


def _entry_or_tap(flow: Flow, stage: Stage, value: int) -> AnyTap | None:
    if flow.same(value, stage.before):
        return stage.entry.tap(flow.recording)
    return _tap_of_value(flow, stage.call, value)


def _tap_of_value(flow: Flow, block: Call, value: int) -> Tap | None:
    """Where a value inside a block can be read: handed out by a module, or taken by one."""
    recording = flow.recording
    call = flow.outermost_producer(value, block.index)
    if call is not None:
        return output_tap(recording, call, value)
    for later in recording.calls[block.index + 1 :]:
        if recording.inside(later.index, block.index):
            taken = next((other for other in later.inputs.values() if flow.same(other, value)), None)
            if taken is not None:
                return input_tap(recording, later, taken)
    return None
