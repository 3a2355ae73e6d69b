"""What a block adds to the residual stream: attention, MLP and state-space addends, found as terms of the residual
sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from .blocks import Stage
from .flow import ATTENTION, MATMULS, Flow, Term, op_name
from .graph import Call, Op
from .taps import PatternTap, Route, Tap, input_tap, located_tap, output_tap

_MIXES_POSITIONS = frozenset(
    {"conv1d", "convolution", "cumsum", "constant_pad_nd", "select", "roll", "flip", "unbind", "split"}
)


@dataclass
class BlockParts:
    """The inside of one block, as far as it could be discovered; ``missing`` says why the rest is not there."""

    kinds: tuple[str, ...] = ()
    parallel: bool = False
    n_heads: int | None = None
    base_scale: float = 1.0
    routes: dict[str, Route] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def dissect(flow: Flow, stage: Stage) -> BlockParts:
    """Resolve the addends of one block's residual sum, their kinds and the taps where they can be read and written."""
    parts = BlockParts()
    block = stage.call
    sum_ = flow.terms(stage.after, stage.before, block.index)
    if sum_ is None:
        reason = "the block's output is not its input plus addends (normalised or rescaled inside the block)"
        for site in ("resid_mid", "attn.out", "attn.out_raw", "attn.pattern", "mlp.out", "mlp.out_raw", "mlp.neurons"):
            parts.missing[site] = reason
        return parts
    terms, partial, parts.base_scale = sum_
    barrier = [stage.before, *partial]
    found: list[tuple[str, Term, list[Op]]] = []
    for term in terms:
        cone = flow.cone(term.value, barrier)
        kind = _kind(flow, cone)
        found.append((kind, term, cone))
    kinds = [kind for kind, _, _ in found]
    parts.kinds = tuple(kinds)
    for kind, term, cone in found:
        if kinds.count(kind) > 1:
            for site in (f"{kind}.out", f"{kind}.out_raw"):
                parts.missing[site] = (
                    f"the block has {kinds.count(kind)} addends of kind {kind}; one name would be ambiguous"
                )
            continue
        _add_out(flow, block, kind, term, cone, parts)
        if kind == "attn":
            _add_pattern(flow, stage, cone, parts)
        if kind == "mlp":
            _add_neurons(flow, block, term, barrier, cone, parts)
    _add_mid(flow, stage, found, partial, parts)
    for kind, sites in (
        ("attn", ("attn.out", "attn.out_raw", "attn.pattern")),
        ("mlp", ("mlp.out", "mlp.out_raw", "mlp.neurons")),
    ):
        if kind not in kinds:
            what = " and ".join(kinds) or "nothing that could be told apart"
            for site in sites:
                parts.missing.setdefault(
                    site, f"the block has no {'attention' if kind == 'attn' else 'MLP'}: it adds {what}"
                )
    return parts


def _kind(flow: Flow, cone: list[Op]) -> str:
    recording = flow.recording
    if any(_is_attention(flow, op) for op in cone):
        return "attn"
    around = {index for op in cone for index in recording.ancestors(op.call)}
    if any(hasattr(recording.calls[index].module, "A_log") for index in around):
        return "ssm"
    if any(op_name(op) in _MIXES_POSITIONS and _touches(flow, op) for op in cone):
        return "mixer"
    return "mlp"


def _touches(flow: Flow, op: Op) -> bool:
    return any(flow.length in flow.recording.shapes[value] for value in op.inputs)


def _is_attention(flow: Flow, op: Op) -> bool:
    name = op_name(op)
    if "scaled_dot_product" in name:
        return True
    if name not in ATTENTION:
        return False
    shape = flow.recording.shapes[op.outputs[0]]
    return len(shape) == 4 and shape[-1] >= shape[-2] == flow.length


def _add_out(flow: Flow, block: Call, kind: str, term: Term, cone: list[Op], parts: BlockParts) -> None:
    recording = flow.recording
    tap: Tap | None = None
    value: int | None = term.value
    while value is not None and tap is None:
        call = flow.outermost_producer(value, block.index)
        if call is not None:
            tap = output_tap(recording, call, value, scale=term.scale)
        op = flow.op(value)
        value = flow.passes_through(op) if op is not None else None
    if tap is None:
        parts.missing[f"{kind}.out"] = "the addend is computed by functions, not handed out by a module"
    else:
        parts.routes[f"{kind}.out"] = Route(tap, tap)
    raw = _mixer_call(flow, block, cone)
    where = (
        None
        if raw is None
        else next((at for at, v in raw.outputs.items() if recording.dtypes[v].is_floating_point), None)
    )
    if raw is None or where is None:
        parts.missing[f"{kind}.out_raw"] = "no module of the block holds this computation"
    else:
        located = located_tap(recording, raw, "output", where)
        parts.routes[f"{kind}.out_raw"] = Route(located, located)


def _mixer_call(flow: Flow, block: Call, cone: list[Op]) -> Call | None:
    """The direct child of the block that did the last matrix product of an addend."""
    for op in reversed(cone):
        if op_name(op) in MATMULS or "scaled_dot_product" in op_name(op):
            child = flow.recording.child_towards(op.call, block.index)
            if child is not None:
                return flow.recording.calls[child]
    return None


def _add_pattern(flow: Flow, stage: Stage, cone: list[Op], parts: BlockParts) -> None:
    recording = flow.recording
    attention = [op for op in cone if _is_attention(flow, op)]
    heads = {
        (recording.shapes[op.inputs[0]] if "scaled_dot_product" in op_name(op) else recording.shapes[op.outputs[0]])[1]
        for op in attention
    }
    if len(attention) != 1:
        parts.missing["attn.pattern"] = (
            f"{len(attention)} softmax operations in one attention; which one is the pattern is not known"
        )
        return
    parts.n_heads = heads.pop()
    repeated = sum(1 for other in recording.calls if other.path == stage.call.path) > 1
    tap = PatternTap(stage.call.path, stage.call.nth if repeated else None)
    parts.routes["attn.pattern"] = Route(tap, tap)


def _add_neurons(flow: Flow, block: Call, term: Term, barrier: list[int], cone: list[Op], parts: BlockParts) -> None:
    recording = flow.recording
    last = [op for op in flow.cone(term.value, barrier, through_matmul=False) if op_name(op) in MATMULS]
    products = [op for op in cone if op_name(op) in MATMULS]
    if len(last) != 1 or len(products) < 2:
        parts.missing["mlp.neurons"] = (
            f"{len(last)} final matrix products (gated output or experts): there is no single down-projection"
            if len(last) != 1
            else "a single matrix: there are no neurons between an up- and a down-projection"
        )
        return
    down = recording.calls[last[0].call] if last[0].call >= 0 else None
    if down is None or not recording.inside(down.index, block.index) or down.index == block.index:
        parts.missing["mlp.neurons"] = "the down-projection is a function call, not a module"
        return
    candidates = [value for value in down.inputs.values() if recording.dtypes[value].is_floating_point]
    size = prod(recording.shapes[term.value][:-1])
    if len(candidates) != 1 or prod(recording.shapes[candidates[0]][:-1]) != size:
        parts.missing["mlp.neurons"] = "the down-projection does not see every position once (experts)"
        return
    tap = input_tap(recording, down, candidates[0])
    if tap is not None:
        parts.routes["mlp.neurons"] = Route(tap, tap)


def _add_mid(
    flow: Flow, stage: Stage, found: list[tuple[str, Term, list[Op]]], partial: list[int], parts: BlockParts
) -> None:
    kinds = [kind for kind, _, _ in found]
    if len(found) != 2 or kinds.count("mlp") != 1:
        parts.missing["resid_mid"] = (
            f"the block adds {' and '.join(kinds) or 'nothing'}: there is no residual between mixer and MLP"
        )
        return
    (_, first, _), (_, second, _) = found
    middle = next((value for value in partial if (op := flow.op(value)) is not None and op.index == first.op), None)
    if kinds[1] != "mlp" or middle is None or not flow.depends(second.value, middle):
        parts.parallel = not flow.depends(second.value, first.value) and not flow.depends(first.value, second.value)
        how = "in parallel" if parts.parallel else "in an order that leaves no sum"
        parts.missing["resid_mid"] = f"{kinds[0]} and {kinds[1]} are added {how}: there is no residual between them"
        return
    out = parts.routes.get(f"{kinds[0]}.out")
    read = _tap_of_value(flow, stage.call, middle)
    if out is None or read is None or not isinstance(out.read, Tap):
        parts.missing["resid_mid"] = "the partial sum is not visible at any module boundary"
    elif read.side == "output":
        parts.routes["resid_mid"] = Route(read, read)
    else:
        base = located_tap(flow.recording, stage.call, "input", stage.entry)
        parts.routes["resid_mid"] = Route(read, out.read, delta=True, base=base)


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
