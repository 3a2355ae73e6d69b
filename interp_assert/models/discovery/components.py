"""What a block adds to the residual stream: attention, MLP and recurrent addends, found in its residual sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from ..recording.flow import MATMULS, Flow, op_name
from ..recording.graph import Call, Op
from ..recording.residual import Add, Norm, Scale, Shift, Side, Step, residual_chain, split_side
from ..taps.tap import Route
from .attention import Heads, find_heads
from .blocks import Stage
from .kinds import attention_ops, is_mlp, kind_of

SITES_OF = {
    "attn": ("attn.out", "attn.out_raw", "attn.q", "attn.k", "attn.v", "attn.pattern", "attn.head_out"),
    "mlp": ("mlp.out", "mlp.out_raw", "mlp.neurons"),
    "ssm": ("ssm.out", "ssm.out_raw"),
    "mixer": ("mixer.out", "mixer.out_raw"),
    "side": ("side.out", "side.out_raw"),
}


@dataclass(frozen=True)
class Component:
    """A part of a block: all addends of one kind in one addition of its residual sum.

    ``name`` is its kind, numbered (``mlp.1``) where the block has several of them. ``call`` is the module that it is,
    where it was found by that and not as an addend.
    """

    kind: str
    name: str
    sides: tuple[Side, ...]
    cone: tuple[Op, ...]
    call: Call | None = None


@dataclass
class BlockParts:
    """The inside of one block, as far as it could be discovered; ``missing`` says why the rest is not there.

    ``names`` are those of the components that it adds to the stream. ``replay`` repeats the residual sum on sites:
    ("add", names) | ("scale", factor) | ("shift", factor) | ("norm", path) | ("cast", dtype), behind ("stream", number)
    where each stream has a sum of its own, or is None where some addend cannot be read.
    """

    kinds: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    parallel: bool = False
    heads: Heads | None = None
    replay: list[tuple[str, object]] | None = None
    routes: dict[str, Route] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Anatomised:
    """A block's residual sum: its steps, and for each addition the components that it brings."""

    chain: Sequence[Step]
    additions: Sequence[tuple[Add, Sequence[Component]]]

    @property
    def components(self) -> list[Component]:
        return [component for _, components in self.additions for component in components]


def resolve(flow: Flow, stage: Stage) -> Anatomised | None:
    """The residual sum of a block with its components named; None where its output is no such sum."""
    chain = residual_chain(flow, stage.call, stage.before, stage.after)
    if chain is None:
        return None
    barrier = [stage.before, *(step.value for step in chain), *stage.others]
    additions = [(step, _components(flow, stage, step, barrier)) for step in chain if isinstance(step, Add)]
    named = iter(_named(flow, stage, [component for _, components in additions for component in components]))
    return Anatomised(chain, [(step, [next(named) for _ in components]) for step, components in additions])


def by_modules(flow: Flow, stage: Stage) -> list[Component]:
    """The components of a block that is no residual sum: the modules directly in it that are an attention, a recurrence
    or an MLP by what they compute, and whose result goes into the block's output.
    """
    recording = flow.recording
    width = recording.shapes[stage.after][-1]
    found = []
    for call in recording.calls[stage.call.index + 1 :]:
        made = [value for value in call.outputs.values() if recording.shapes[value][-1:] == (width,)]
        within = stage.first_op <= call.first_op and call.end_op <= stage.end_op
        if call.parent != stage.call.index or not within or not made or not flow.depends(stage.after, made[0]):
            continue
        ops = tuple(recording.ops[call.first_op : call.end_op])
        kind = kind_of(flow, ops)
        if any(op_name(op) in MATMULS for op in ops) and (kind != "mlp" or is_mlp(flow, ops)):
            found.append(Component(kind, kind, (), ops, call))
    return _named(flow, stage, found)


def _components(flow: Flow, stage: Stage, step: Add, barrier: list[int]) -> list[Component]:
    """The sides of one addition by kind. What the block itself added up is split only where the kinds differ."""
    by_kind: dict[str, list[tuple[Side, list[Op]]]] = {}
    for side in step.sides:
        pieces = [
            (part, flow.cone(part.value, barrier, since=stage.first_op)) for part in split_side(flow, side, stage.call)
        ]
        computed = [(part, cone) for part, cone in pieces if any(op_name(op) in MATMULS for op in cone)]
        if not computed or any(_is_parameter(flow, part.value) for part, _ in pieces):
            # a bias that the block itself adds belongs to what it is added to
            computed = [(side, flow.cone(side.value, barrier, since=stage.first_op))]
        for part, cone in computed:
            by_kind.setdefault(kind_of(flow, cone), []).append((part, cone))
    return [
        Component(kind, kind, tuple(part for part, _ in pieces), tuple(op for _, cone in pieces for op in cone))
        for kind, pieces in by_kind.items()
    ]


def _is_parameter(flow: Flow, value: int) -> bool:
    while (op := flow.op(value)) is not None and (op_name(op) == "expand" or flow.passes_through(op) is not None):
        value = op.inputs[0]
    leaf = flow.recording.leaves.get(value)
    return leaf is not None and flow.name_of(leaf) is not None


def _named(flow: Flow, stage: Stage, found: Sequence[Component]) -> list[Component]:
    """Components with names of their own: a side channel told from the MLP, the others numbered."""
    mlps = [component for component in found if component.kind == "mlp"]
    beside = [component for component in mlps if _takes_side_input(flow, stage, component)]
    if 0 < len(beside) < len(mlps):
        found = [replace(part, kind="side", name="side") if part in beside else part for part in found]
    kinds = [component.kind for component in found]
    named = []
    for at, component in enumerate(found):
        number = kinds[:at].count(component.kind)
        several = kinds.count(component.kind) > 1
        named.append(replace(component, name=f"{component.kind}.{number}" if several else component.kind))
    return named


def _takes_side_input(flow: Flow, stage: Stage, component: Component) -> bool:
    """Whether a component takes vectors for each position that enter the block beside the residual stream."""
    recording = flow.recording
    beside = {
        flow.origin(value)
        for value in stage.call.inputs.values()
        if recording.dtypes[value].is_floating_point
        and len(recording.shapes[value]) >= 3
        and prod(recording.shapes[value][:-1]) == recording.rows[0] * flow.length
        and not flow.same(value, stage.before)
    }
    return any(flow.origin(value) in beside for op in component.cone for value in op.inputs)


def parallel(flow: Flow, found: Sequence[Component]) -> bool:
    """Whether no addend depends on another, as where attention and MLP read the same residual."""
    return len(found) > 1 and not any(
        flow.depends(late.value, early.value)
        for one in found
        for other in found
        if one is not other
        for late in one.sides
        for early in other.sides
    )


def steps_of(summed: Anatomised) -> list[tuple[str, object]]:
    """The residual sum on sites, for ``BlockParts.replay``."""
    names = {id(step): tuple(component.name for component in components) for step, components in summed.additions}
    steps: list[tuple[str, object]] = []
    for step in summed.chain:
        if isinstance(step, Add):
            steps.append(("add", names[id(step)]))
        elif isinstance(step, Norm):
            steps.append(("norm", step.path))
        elif isinstance(step, Scale | Shift):
            steps.append(("scale" if isinstance(step, Scale) else "shift", step.factor))
        else:
            steps.append(("cast", step.dtype))
    return steps


def heads_of(flow: Flow, stage: Stage, component: Component, parts: BlockParts) -> None:
    """The sites inside the attention of a component."""
    heads = find_heads(flow, stage.call, component.cone)
    parts.heads = parts.heads or heads
    name = component.name if component.kind == "attn" else "attn"
    parts.routes |= {site.replace("attn", name, 1): route for site, route in heads.routes.items()}
    parts.missing |= {site.replace("attn", name, 1): why for site, why in heads.missing.items()}


def has_attention(flow: Flow, component: Component) -> bool:
    """Whether there is an attention in a component: it is one, or what it computes takes the result of one."""
    return component.kind == "attn" or (component.kind == "ssm" and bool(attention_ops(flow, component.cone)))
