"""The anatomy of a model of which only the residual streams are known, as it shows them: read, not written."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...errors import ModelBroken
from .. import calling
from ..anatomy import Anatomy, Block, Proof
from ..families import family_of
from ..not_finite import why_not_finite
from ..opened import OpenModel
from ..proving.closeness import distance, tolerance
from ..proving.proof import CAUSALITY, random_ids
from ..readout import StatedReadout
from ..recording.layouts import ONE_STREAM
from ..running import trace_module
from ..taps.shown import ShownTap, streams_of
from ..taps.tap import Route, Tap, take

__all__ = ["discover_shown"]

_LENGTH = 8


def discover_shown(model: OpenModel) -> Anatomy:
    """The streams that the model's module shows, and what holds of them: showing them is repeatable and changes no
    logits, no stream sees the future, and, where a family states the readout, it makes the logits of the last one.
    """
    length = _LENGTH if model.max_positions is None else min(_LENGTH, model.max_positions)
    ids = random_ids(model, rows=2, length=length)
    show = streams_of(model.module)
    assert show is not None
    family = family_of(model.module)
    with torch.no_grad():
        streams = show(ids)
        out = calling.forward(model.module, ids)
    logits_at = calling.logits_location(out, *ids.shape, stated=family.logits, width=model.vocab_size)
    wrong = why_not_finite(model.module, ids, take(out, logits_at))
    if wrong is not None:
        raise ModelBroken(f"{model.id} {wrong}")
    routes = {}
    for block in range(len(streams) - 1):
        routes[f"blocks.{block}.resid_pre"] = Route.at(ShownTap(block))
        routes[f"blocks.{block}.resid_post"] = Route.at(ShownTap(block + 1))
    missing = {"edits of residual streams": ShownTap.read_only}
    if family.readout is None:
        missing["unembed"] = (
            f"what shows the streams does not show what makes logits of the last one: register_family("
            f"{model.class_name}): Family(readout=lambda module, residual: ...)"
        )
    anatomy = Anatomy(
        architecture=model.architecture,
        n_blocks=len(streams) - 1,
        d_model=int(streams[-1].shape[-1]),
        vocab_size=model.vocab_size,
        blocks=tuple(Block(block, f"shown stream {block + 1}", (), False, None) for block in range(len(streams) - 1)),
        routes=routes,
        missing=missing,
        readout=None if family.readout is None else StatedReadout(family.readout),
        tail=None,
        logits_at=logits_at,
        exit=Tap("", "output", ()),
        streams=ONE_STREAM,
        stream_dtype=streams[-1].dtype,
        joined=(True,) * (len(streams) - 1),
        replays=(None,) * (len(streams) - 1),
        root=model.module,
    )
    _prove(anatomy, model, ids, take(out, logits_at), streams)
    return anatomy


def _prove(
    anatomy: Anatomy, model: OpenModel, ids: torch.Tensor, plain: torch.Tensor, streams: Sequence[torch.Tensor]
) -> None:
    last = f"blocks.{anatomy.n_blocks - 1}.resid_post"
    limit = tolerance(anatomy, model)
    values, logits = trace_module(model.module, anatomy, ids, list(anatomy.routes), {}, None, logits=True)
    assert logits is not None
    other = ids.clone()
    other[1, -1] = (other[1, -1] + 1) % model.vocab_size
    changed, after = trace_module(model.module, anatomy, other, list(anatomy.routes), {}, None, logits=True)
    assert after is not None
    anatomy.proofs.append(Proof("reading leaves the logits bitwise equal", None, distance(logits, plain), 0.0))
    anatomy.proofs.append(Proof(CAUSALITY, None, distance(after[1, :-1], plain[1, :-1]), limit))
    for block in range(anatomy.n_blocks):
        site = f"blocks.{block}.resid_post"
        repeated = distance(values[site], streams[block + 1])
        anatomy.proofs.append(Proof("a stream that is shown twice is the same", block, repeated, 0.0, "resid_post"))
        seen = distance(changed[site][1, :-1], values[site][1, :-1])
        anatomy.proofs.append(Proof("no stream sees the future", block, seen, limit, "resid_post"))
    if anatomy.readout is not None:
        error = distance(anatomy.unembed(values[last]), logits)
        anatomy.proofs.append(Proof("unembedding the last residual gives the logits", None, error, limit))
    anatomy.proven |= {"resid_pre", "resid_post"}
    for proof in anatomy.proofs:
        if proof.holds:
            continue
        if proof.block is not None:
            for part in ("resid_pre", "resid_post"):
                anatomy.withdraw(f"blocks.{proof.block}.{part}", proof.describe())
        elif proof.identity == CAUSALITY:
            anatomy.missing["causality"] = proof.describe()
        else:
            anatomy.readout = None
            anatomy.missing["unembed"] = proof.describe()
