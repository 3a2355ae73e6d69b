"""What a block adds to the residual stream: attention, MLP and recurrent addends, found in its residual sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from .attention import Heads, find_heads
from .blocks import Stage
from .flow import MATMULS, Flow, op_name
from .functions import made_by_function
from .graph import Call, Op
from .kinds import attention_ops, kind_of
from .residual import Add, Cast, Norm, Scale, Side, Step, residual_chain, scaling, split_side
from .taps import AnyTap, Route, Tap, input_tap, located_tap, output_tap

SITES_OF = {
    "attn": ("attn.out", "attn.out_raw", "attn.q", "attn.k", "attn.v", "attn.pattern", "attn.head_out"),
    "mlp": ("mlp.out", "mlp.out_raw", "mlp.neurons"),
    "ssm": ("ssm.out", "ssm.out_raw"),
    "mixer": ("mixer.out", "mixer.out_raw"),
}


@dataclass(frozen=True)
class Component:
    """All addends of one kind in a block: the parts of the residual sum that it makes."""

    kind: str
    sides: tuple[Side, ...]
    cone: tuple[Op, ...]


@dataclass
class BlockParts:
    """The inside of one block, as far as it could be discovered; ``missing`` says why the rest is not there.

    ``replay`` repeats the residual sum on sites: ("add", kinds) | ("scale", factor) | ("shift", factor) |
    ("norm", path) | ("cast", dtype), or is None where some addend cannot be read.
    """

    kinds: tuple[str, ...] = ()
    parallel: bool = False
    heads: Heads | None = None
    replay: list[tuple[str, object]] | None = None
    routes: dict[str, Route] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def dissect(flow: Flow, stage: Stage) -> BlockParts:
    """Resolve the addends of one block's residual sum, their kinds and the taps where they are read and written."""
    parts = BlockParts()
    chain = residual_chain(flow, stage.call, stage.before, stage.after)
    if chain is None:
        for site in ("resid_mid", *SITES_OF["attn"], *SITES_OF["mlp"]):
            parts.missing[site] = "the block's output is not made of its input by adding, scaling and normalising"
        _add_heads(flow, stage, flow.cone(stage.after, [stage.before]), parts)
        return parts
    barrier = [stage.before, *(step.value for step in chain)]
    additions = [(step, _components(flow, stage.call, step, barrier)) for step in chain if isinstance(step, Add)]
    found = [component for _, components in additions for component in components]
    kinds = [component.kind for component in found]
    parts.parallel = _parallel(flow, found)
    parts.kinds = tuple(sorted(kinds, key=lambda kind: kind == "mlp") if parts.parallel else kinds)
    for component in found:
        if kinds.count(component.kind) > 1:
            for site in SITES_OF[component.kind]:
                parts.missing[site] = (
                    f"the block adds {kinds.count(component.kind)} of them; one name would be ambiguous"
                )
            continue
        _add_out(flow, stage, component, parts)
        if component.kind == "attn" or (component.kind == "ssm" and attention_ops(flow, component.cone)):
            _add_heads(flow, stage, component.cone, parts)
        if component.kind == "mlp":
            _add_neurons(flow, stage.call, component, barrier, parts)
    _add_mid(flow, stage, chain, additions, parts)
    _name_absent(kinds, parts)
    if kinds and all(f"{kind}.out" in parts.routes for kind in kinds):
        parts.replay = _replay(chain, additions)
    return parts


def _components(flow: Flow, block: Call, step: Add, barrier: list[int]) -> list[Component]:
    """The sides of one addition by kind. What the block itself added up is split only where the kinds differ."""
    by_kind: dict[str, list[tuple[Side, list[Op]]]] = {}
    for side in step.sides:
        pieces = [(part, flow.cone(part.value, barrier)) for part in split_side(flow, side, block)]
        pieces = [(part, cone) for part, cone in pieces if any(op_name(op) in MATMULS for op in cone)] or pieces
        for part, cone in pieces:
            by_kind.setdefault(kind_of(flow, cone), []).append((part, cone))
    return [
        Component(kind, tuple(part for part, _ in pieces), tuple(op for _, cone in pieces for op in cone))
        for kind, pieces in by_kind.items()
    ]


def _parallel(flow: Flow, found: list[Component]) -> bool:
    """Whether no addend depends on another, as where attention and MLP read the same residual."""
    return len(found) > 1 and not any(
        flow.depends(late.value, early.value)
        for one in found
        for other in found
        if one is not other
        for late in one.sides
        for early in other.sides
    )


def _replay(chain: list[Step], additions: list[tuple[Add, list[Component]]]) -> list[tuple[str, object]]:
    kinds = {id(step): tuple(component.kind for component in components) for step, components in additions}
    steps: list[tuple[str, object]] = []
    for step in chain:
        if isinstance(step, Add):
            steps.append(("add", kinds[id(step)]))
        elif isinstance(step, Norm):
            steps.append(("norm", step.path))
        elif isinstance(step, Cast):
            steps.append(("cast", step.dtype))
        else:
            steps.append(("scale" if isinstance(step, Scale) else "shift", step.factor))
    return steps


def _name_absent(kinds: list[str], parts: BlockParts) -> None:
    for kind, what in (("attn", "attention"), ("mlp", "MLP")):
        if kind not in kinds:
            reason = f"the block has no {what}: it adds {' and '.join(kinds) or 'nothing'}"
            if kind == "attn" and parts.heads is not None:
                reason = "attention adds nothing to the stream: its result goes into the recurrent mixer"
            for site in SITES_OF[kind]:
                if site not in parts.routes:
                    parts.missing.setdefault(site, reason)


def _add_out(flow: Flow, stage: Stage, component: Component, parts: BlockParts) -> None:
    kind = component.kind
    taps = [_tap_of_side(flow, stage, side) for side in component.sides]
    known = [tap for tap in taps if tap is not None]
    if len(known) < len(taps) or not known:
        parts.missing[f"{kind}.out"] = "the addend is handed out neither by a module nor by a torch function"
    else:
        known.sort(key=lambda tap: _ends(flow, tap))
        parts.routes[f"{kind}.out"] = Route(tuple(known), known[-1], tuple(known[:-1]))
    raw = _mixer_call(flow, stage.call, list(component.cone))
    floats = (
        {} if raw is None else {at: v for at, v in raw.outputs.items() if flow.recording.dtypes[v].is_floating_point}
    )
    if raw is None or not floats:
        parts.missing[f"{kind}.out_raw"] = "no module of the block holds this computation"
    else:
        parts.routes[f"{kind}.out_raw"] = Route.at(located_tap(flow.recording, raw, "output", next(iter(floats))))


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
        elif shapes[side.value] == shapes[stage.after]:
            return _inside(stage.call, made_by_function(flow.recording, side.value, side.factor))
        else:
            return None
    return output_tap(flow.recording, call, value, factor)


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


def _add_heads(flow: Flow, stage: Stage, cone: Sequence[Op], parts: BlockParts) -> None:
    """The sites inside the attention among ``cone``."""
    parts.heads = find_heads(flow, stage.call, cone)
    for site in parts.heads.routes:
        parts.missing.pop(site, None)
    parts.routes.update(parts.heads.routes)
    parts.missing.update(parts.heads.missing)


def _add_neurons(flow: Flow, block: Call, component: Component, barrier: list[int], parts: BlockParts) -> None:
    recording = flow.recording
    last = [
        op
        for side in component.sides
        for op in flow.cone(side.value, barrier, through_matmul=False)
        if op_name(op) in MATMULS
    ]
    products = [op for op in component.cone if op_name(op) in MATMULS]
    if len(last) != 1:
        parts.missing["mlp.neurons"] = (
            f"{len(last)} final matrix products (gated output or experts), not one down-projection"
        )
        return
    if len(products) < 2:
        parts.missing["mlp.neurons"] = "a single matrix: there are no neurons between an up- and a down-projection"
        return
    neurons = [value for value in last[0].inputs if flow.depends(value, barrier[0])]
    if len(neurons) != 1 or prod(recording.shapes[neurons[0]][:-1]) != prod(recording.rows):
        parts.missing["mlp.neurons"] = "the down-projection does not see every position once (experts)"
        return
    down = recording.calls[last[0].call]
    taken = next((value for value in down.inputs.values() if flow.same(value, neurons[0])), None)
    tap: AnyTap | None = None
    if taken is not None and down.index != block.index and recording.inside(down.index, block.index):
        tap = input_tap(recording, down, taken)
    tap = tap or _inside(block, made_by_function(recording, flow.origin(neurons[0])))
    if tap is None:
        parts.missing["mlp.neurons"] = "what the down-projection multiplies is handed out by no module and no function"
    else:
        parts.routes["mlp.neurons"] = Route.at(tap)


def _add_mid(
    flow: Flow, stage: Stage, chain: list[Step], additions: list[tuple[Add, list[Component]]], parts: BlockParts
) -> None:
    """The residual between the mixers and the MLP: the stream just before the addition that brings the MLP."""
    names = " and ".join(parts.kinds) or "nothing"
    ending = [step for step, components in additions if [component.kind for component in components] == ["mlp"]]
    if len(ending) != 1 or len(additions) != 2 or additions[0][0] is ending[0]:
        how = "in parallel" if parts.parallel else "in one block"
        parts.missing["resid_mid"] = f"{names} are added {how}: there is no residual between a mixer and an MLP"
        return
    (first, mixers), (second, mlps) = additions
    middle = second.before
    if parts.parallel or not any(flow.depends(side.value, middle) for side in mlps[0].sides):
        parts.missing["resid_mid"] = f"{names} are added in parallel: there is no residual between them"
        return
    visible = _tap_of_value(flow, stage.call, middle)
    if visible is not None and visible.side == "output":
        parts.routes["resid_mid"] = Route.at(visible)
        return
    carriers = [parts.routes.get(f"{component.kind}.out") for component in mixers]
    before = _entry_or_tap(flow, stage, first.before)
    taps = [tap for route in carriers if route is not None for tap in route.read]
    between = chain[chain.index(first) + 1 : chain.index(second)]
    straight = all(isinstance(step, Cast) for step in between)
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
