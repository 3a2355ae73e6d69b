"""Discovering an anatomy: from one recorded forward pass to blocks, sites and readout, then to the proofs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, zip_longest

import torch

from ..errors import UnprovenAnatomy, UsageProblem
from . import calling, kernels, mixers, proof
from .anatomy import Anatomy, Block
from .attention import Heads
from .blocks import Stage, find_stages, unwrapped
from .components import BlockParts, dissect
from .families import family_of
from .flow import Flow
from .graph import Recording, record
from .opened import OpenModel
from .readout import find_readout
from .taps import Route, Tap, located_tap, output_tap

DISCOVERY_LENGTH = 11
"""Positions of the recorded pass: a prime that no other axis of a model has, so that an axis of positions is known by
its size.
"""


def discover(model: OpenModel) -> Anatomy:
    """Find the anatomy of a model by one recorded forward pass, and prove it by three plain ones.

    Raises UnprovenAnatomy where no stack of blocks can be found at all. Anything less is reported in
    ``Anatomy.missing``.
    """
    length = DISCOVERY_LENGTH if model.max_positions is None else min(DISCOVERY_LENGTH, model.max_positions)
    ids = proof.random_ids(model, rows=2, length=length)
    recording = _record(model, ids)
    found = find_stages(recording, _stated_blocks(model))
    if found is None:
        raise UnprovenAnatomy(
            f"{model.id}: no stack of blocks was found in this {model.architecture}: no ModuleList "
            "of which two members ran and through which one stream of vectors goes. Say where the blocks are: "
            f"register_family({model.class_name}): Family(blocks=[paths of modules])."
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
    routes: dict[str, Route] = {}
    missing: dict[str, str] = {}
    parts = [dissect(flow, unwrapped(recording, stage)) for stage in stages]
    _add_mixers(flow, stages, parts)
    embedding = _embedding(recording, ids)
    if embedding is not None:
        routes["embed"] = Route.at(embedding)
    else:
        missing["embed"] = "no embedding module takes the token ids"
    for index, (stage, inside) in enumerate(zip(stages, parts, strict=True)):
        routes.update(_block_routes(recording, index, stage, inside))
    _collect_missing(parts, missing)
    stated = family_of(model.module).logits
    logits_at = calling.logits_location(recording.result, *ids.shape, stated=stated, width=model.vocab_size)
    readout = find_readout(flow, stages[-1].call, stages[-1].after, recording.results[logits_at])
    if isinstance(readout, str):
        missing["unembed"] = readout
        missing["final_norm"] = readout
    elif readout.final_norm is None:
        missing["final_norm"] = "there is no norm between the last block and the logits"
    else:
        routes["final_norm"] = Route.at(readout.final_norm)
    return Anatomy(
        architecture=model.architecture,
        n_blocks=len(stages),
        d_model=recording.shapes[stages[-1].after][-1],
        vocab_size=model.vocab_size,
        blocks=tuple(
            _block(index, stage, inside) for index, (stage, inside) in enumerate(zip(stages, parts, strict=True))
        ),
        routes=routes,
        missing=missing,
        readout=None if isinstance(readout, str) else readout,
        logits_at=logits_at,
        exit=located_tap(recording, stages[-1].call, "output", stages[-1].exit),
        streams=_streams(recording.shapes[stages[-1].after], recording.rows),
        stream_dtype=recording.dtypes[stages[-1].after],
        joined=(True, *(flow.same(late.before, early.after) for early, late in pairwise(stages))),
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


def _block(index: int, stage: Stage, inside: BlockParts) -> Block:
    heads = inside.heads or Heads()
    return Block(
        index,
        stage.call.path,
        inside.kinds,
        inside.parallel,
        heads.n_heads,
        heads.n_kv_heads,
        heads.weighted_values,
    )


def _streams(shape: tuple[int, ...], rows: tuple[int, int]) -> int:
    """How many residual streams run side by side: the axis beside batch, positions and features, if there is one."""
    if len(shape) != 4:
        return 1
    return shape[0] if shape[1:3] == rows else shape[2]


def _block_routes(recording: Recording, index: int, stage: Stage, inside: BlockParts) -> dict[str, Route]:
    entry = located_tap(recording, stage.call, "input", stage.entry)
    exit_ = located_tap(recording, stage.call, "output", stage.exit)
    named = {"resid_pre": Route.at(entry), **inside.routes, "resid_post": Route.at(exit_)}
    order = ["resid_pre", "attn.q", "attn.k", "attn.v", "attn.pattern", "attn.head_out"]
    order += [*mixers.SITES, *(f"{kind}.{out}" for kind in ("attn", "ssm", "mixer") for out in ("out_raw", "out"))]
    order += ["resid_mid", "mlp.neurons", "mlp.out_raw", "mlp.out", "resid_post"]
    return {f"blocks.{index}.{part}": named[part] for part in order if part in named}


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


def _embedding(recording: Recording, ids: torch.Tensor) -> Tap | None:
    """The first innermost module that turns the token ids into vectors."""
    first = recording.calls[0].inputs
    tokens = next((value for value in first.values() if recording.shapes[value] == tuple(ids.shape)), None)
    for call in recording.calls:
        if tokens in call.inputs.values() and not any(True for _ in call.module.children()):
            for value in call.outputs.values():
                if recording.dtypes[value].is_floating_point and recording.shapes[value][:2] == tuple(ids.shape):
                    return output_tap(recording, call, value)
    return None
