"""The inside of a block: its components, what of them can be read and written, and why the rest cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..recording.flow import Flow
from .blocks import Stage
from .component_taps import add_mid, add_neurons, add_out, add_raw
from .components import (
    SITES_OF,
    BlockParts,
    Component,
    by_modules,
    has_attention,
    heads_of,
    parallel,
    resolve,
    steps_of,
)

__all__ = ["dissect"]


def dissect(flow: Flow, stage: Stage) -> BlockParts:
    """Resolve the parts of one block, their kinds and the taps where they are read and written; where each residual
    stream is a tensor of its own, those that go into each.
    """
    lanes = list(zip(stage.entry.values(), stage.exit.values(), strict=True))
    if len(lanes) == 1:
        return _dissect(flow, stage)
    ends = [value for lane in lanes for value in lane]
    found = [
        _dissect(flow, replace(stage, before=before, after=after, others=tuple(set(ends) - {before, after})))
        for before, after in lanes
    ]
    in_order = sorted(range(len(lanes)), key=lambda lane: lanes[lane][1])  # values are numbered as they are made
    kinds = tuple(kind for lane in in_order for kind in found[lane].kinds)
    merged = BlockParts(kinds, tuple(name for lane in in_order for name in found[lane].names), replay=[])
    for lane, part in enumerate(found):
        merged.routes |= {site: route for site, route in part.routes.items() if site not in merged.routes}
        merged.heads = merged.heads or part.heads
        if merged.replay is not None:
            merged.replay = None if part.replay is None else [*merged.replay, ("stream", lane), *part.replay]
    for part in found:
        elsewhere = {site for kind in kinds if kind not in part.kinds for site in SITES_OF[kind]}
        merged.missing |= {site: why for site, why in part.missing.items() if site not in elsewhere}
    return merged


def _dissect(flow: Flow, stage: Stage) -> BlockParts:
    parts = BlockParts()
    summed = resolve(flow, stage)
    found = by_modules(flow, stage) if summed is None else summed.components
    parts.parallel = summed is not None and parallel(flow, found)
    in_order = sorted(found, key=lambda component: component.kind == "mlp") if parts.parallel else found
    parts.kinds = tuple(component.kind for component in in_order)
    for component in found:
        if summed is None:
            parts.missing[f"{component.name}.out"] = _why_no_sum(flow, stage)
        else:
            add_out(flow, stage, component, parts)
        add_raw(flow, stage, component, parts)
        if has_attention(flow, component):
            heads_of(flow, stage, component, parts)
        if component.kind == "mlp":
            add_neurons(flow, stage, component, parts)
    if summed is None:
        parts.missing["resid_mid"] = _why_no_sum(flow, stage)
    else:
        parts.names = tuple(component.name for component in in_order)
        add_mid(flow, stage, summed, parts)
        if found and all(f"{name}.out" in parts.routes for name in parts.names):
            parts.replay = steps_of(summed)
    _name_absent(found, parts)
    return parts


def _why_no_sum(flow: Flow, stage: Stage) -> str:
    if len(flow.recording.shapes[stage.after]) == 4:
        return "the block mixes its streams by matrices that it computes: its output is no sum of input and addends"
    return "the block's output is not made of its input by adding, scaling and normalising"


def _name_absent(found: Sequence[Component], parts: BlockParts) -> None:
    """Why the sites of a kind are not there: the block has none, or several, which are numbered."""
    kinds = [component.kind for component in found]
    for kind, what in (("attn", "attention"), ("mlp", "MLP")):
        names = [component.name for component in found if component.kind == kind]
        reason = f"the block has no {what}: it adds {' and '.join(kinds) or 'nothing'}"
        if len(names) > 1:
            reason = f"the block has {len(names)} of them: {', '.join(names)}"
        elif kind == "attn" and parts.heads is not None:
            reason = "attention adds nothing to the stream: its result goes into the recurrent mixer"
        for site in SITES_OF[kind] if names != [kind] else ():
            if site not in parts.routes:
                parts.missing.setdefault(site, reason)
