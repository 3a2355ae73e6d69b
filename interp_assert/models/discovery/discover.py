"""Discovering an anatomy: from one recorded forward pass to blocks, sites and readout, then to the proofs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, zip_longest

import torch

from ...errors import ModelBroken, UnprovenAnatomy, UsageProblem
from .. import calling
from ..anatomy import Anatomy, Block
from ..families import family_of
from ..not_finite import why_not_finite
from ..opened import OpenModel
from ..proving import proof
from ..readout import Readout, StatedReadout
from ..recording.flow import Flow
from ..recording.graph import Recording
from ..recording.recorder import record
from ..sites import unnumbered
from ..taps import kernels
from ..taps.shown import streams_of
from ..taps.tap import Route, nth_call, take
from . import mixers
from .attention import Heads
from .blocks import Stage, find_stages, other_stacks, unwrapped
from .components import BlockParts
from .dissection import dissect
from .embedding import embedding_tap
from .shown_anatomy import discover_shown
from .survey import d_model_of, survey
from .unembedding import find_readout, find_tail

DISCOVERY_LENGTH = 11
"""Positions of the recorded pass: a prime that no other axis of a model has, so that an axis of positions is known by
its size.
"""

_ORDER = (
    "resid_pre",
    *("attn.q", "attn.k", "attn.v", "attn.pattern", "attn.head_out"),
    *mixers.SITES,
    *(f"{kind}.{out}" for kind in ("attn", "ssm", "mixer") for out in ("out_raw", "out")),
    "resid_mid",
    *("mlp.neurons", "mlp.out_raw", "mlp.out", "side.out_raw", "side.out"),
    "resid_post",
)
"""The sites of a block in order of computation."""


def discover(model: OpenModel) -> Anatomy:
    """Find the anatomy of a model by one recorded forward pass, and prove it by three plain ones.

    Raises UnprovenAnatomy where no stack of blocks can be found at all, ModelBroken where the logits are NaN. Anything
    less is reported in ``Anatomy.missing``.
    """
    if family_of(model.module).hidden_states is not None:
        return discover_shown(model)
    length = DISCOVERY_LENGTH if model.max_positions is None else min(DISCOVERY_LENGTH, model.max_positions)
    ids = proof.random_ids(model, rows=2, length=length)
    recording = _record(model, ids)
    found = find_stages(recording, _stated_blocks(model))
    if found is None and streams_of(model.module) is not None:
        return discover_shown(model)
    if found is None:
        raise UnprovenAnatomy(
            f"{model.id}: no stack of blocks was found in this {model.architecture}: no ModuleList "
            "of which two members ran and through which one stream of vectors goes. Say where the blocks are: "
            f"register_family({model.class_name}): Family(blocks=[paths of modules]), or give the module a method "
            "get_hidden_states(ids)."
        )
    anatomy = _assemble(model, recording, found[1], ids)
    proof.prove_at_load(anatomy, model)
    return anatomy


def _record(model: OpenModel, ids: torch.Tensor) -> Recording:
    """One recorded pass; a second one of a model that exchanges a module in the first (big_bird, for short inputs)."""
    before = [*model.module.modules()]
    rows = (int(ids.shape[0]), int(ids.shape[1]))
    recording = record(model.module, lambda: calling.forward(model.module, ids), rows, kernels.observed)
    if all(old is new for old, new in zip_longest(before, model.module.modules())):
        return recording
    return record(model.module, lambda: calling.forward(model.module, ids), (ids.shape[0], ids.shape[1]))


def _assemble(model: OpenModel, recording: Recording, stages: Sequence[Stage], ids: torch.Tensor) -> Anatomy:
    flow = Flow(recording, model.module)
    family = family_of(model.module)
    logits_at = calling.logits_location(recording.result, *ids.shape, stated=family.logits, width=model.vocab_size)
    wrong = why_not_finite(model.module, ids, take(recording.result, logits_at))
    if wrong is not None:
        raise ModelBroken(
            f"{model.id} {wrong}; if numbers grow too large for {model.dtype} there, open the model in another format"
        )
    logits = recording.results[logits_at]
    grid = recording.grid = survey(flow, stages, logits)
    flow.length = grid.positions
    routes: dict[str, Route] = {}
    missing: dict[str, str] = {}
    parts = [dissect(flow, unwrapped(recording, stage)) for stage in stages]
    _add_mixers(flow, stages, parts)
    embedding = embedding_tap(flow, ids)
    if embedding is not None:
        routes["embed"] = Route.at(embedding)
    else:
        missing["embed"] = "no embedding module takes the token ids"
    for index, (stage, inside) in enumerate(zip(stages, parts, strict=True)):
        routes.update(_block_routes(recording, index, stage, inside))
    _collect_missing(parts, missing)
    for stack in other_stacks(recording, stages):
        missing[f"stack {stack.path}"] = (
            f"its {len(stack.calls)} blocks run in the same pass, before or beside the stack that ends in the logits"
        )
    followed = find_readout(flow, stages, logits)
    tail = find_tail(flow, stages, logits) if isinstance(followed, str) else followed
    readout: Readout | StatedReadout | None = None if isinstance(followed, str) else followed
    if family.readout is not None:
        readout = StatedReadout(family.readout)
    elif isinstance(followed, str):
        missing["unembed"] = followed
    if tail is not None and tail.final_norm is not None:
        routes["final_norm"] = Route.at(tail.final_norm)
    else:
        missing["final_norm"] = "there is no norm between the last block and the logits"
    return Anatomy(
        architecture=model.architecture,
        n_blocks=len(stages),
        d_model=d_model_of(recording, stages, grid),
        vocab_size=model.vocab_size,
        blocks=tuple(
            _block(recording, index, stage, inside)
            for index, (stage, inside) in enumerate(zip(stages, parts, strict=True))
        ),
        routes=routes,
        missing=missing,
        readout=readout,
        tail=tail if isinstance(followed, str) else None,
        logits_at=logits_at,
        exit=stages[-1].exit.tap(recording),
        streams=grid.streams,
        stream_dtype=recording.dtypes[stages[-1].after],
        joined=(True, *(_joined(flow, early, late) for early, late in pairwise(stages))),
        replays=tuple(inside.replay for inside in parts),
        root=model.module,
    )


def _add_mixers(flow: Flow, stages: Sequence[Stage], parts: Sequence[BlockParts]) -> None:
    """What is inside recurrent mixers; a model that has none says nothing of them."""
    found = [mixers.find_mixer(flow, stage.call) for stage in stages]
    recurrent = any(routes or "ssm" in inside.kinds for (routes, _), inside in zip(found, parts, strict=True))
    for (routes, missing), inside, stage in zip(found, parts, stages, strict=True):
        if not routes and not missing and recurrent:
            missing = dict.fromkeys(mixers.SITES, mixers.why_none(stage.call.module, inside.kinds))
        inside.routes.update(routes)
        inside.missing.update(missing)


def _stated_blocks(model: OpenModel) -> Sequence[str] | None:
    """The paths that the model's family states, if it does."""
    paths = family_of(model.module).blocks
    there = dict(model.module.named_modules())
    for path in paths or ():
        if path not in there:
            raise UsageProblem(
                f"block {path!r} is no module of this {model.class_name}; it has "
                f"{', '.join(name for name, _ in model.module.named_children())}, and what is in them"
            )
    return paths


def _block(recording: Recording, index: int, stage: Stage, inside: BlockParts) -> Block:
    heads = inside.heads or Heads()
    return Block(
        index,
        stage.entry.call.path,  # where several modules are the block, the one at its entry
        inside.kinds,
        inside.parallel,
        heads.n_heads,
        heads.n_kv_heads,
        heads.weighted_values,
        nth_call(recording, stage.entry.call),
        inside.names,
    )


def _joined(flow: Flow, early: Stage, late: Stage) -> bool:
    pairs = zip(early.exit.values(), late.entry.values(), strict=True)
    return all(flow.same(into, out) for out, into in pairs)


def _block_routes(recording: Recording, index: int, stage: Stage, inside: BlockParts) -> dict[str, Route]:
    taps = stage.entry.tap(recording), stage.exit.tap(recording)
    named = {"resid_pre": Route.at(taps[0]), **inside.routes, "resid_post": Route.at(taps[1])}
    order = [*_ORDER, *(part for part in named if part not in _ORDER)]
    in_order = sorted(named, key=lambda part: (order.index(unnumbered(part)), part))
    return {f"blocks.{index}.{part}": named[part] for part in in_order}


def _collect_missing(parts: Sequence[BlockParts], missing: dict[str, str]) -> None:
    """Reasons that hold for every block are stated once."""
    for part in dict.fromkeys(site for inside in parts for site in inside.missing):
        reasons = [inside.missing.get(part) for inside in parts]
        if len(set(reasons)) == 1 and reasons[0] is not None:
            missing[f"blocks.*.{part}"] = reasons[0]
        else:
            for index, reason in enumerate(reasons):
                if reason is not None:
                    missing[f"blocks.{index}.{part}"] = reason
