"""The anatomy of a model: its blocks, what they add, its final norm and readout, discovered in one forward pass and
then proven.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from ..errors import UnprovenAnatomy
from . import calling, proof
from .blocks import Stage, find_stages
from .components import BlockParts, dissect
from .flow import Flow
from .graph import Location, Recording, record
from .proof import Proof
from .readout import Readout, find_readout, replay
from .sites import block_of, expand, part_of, summarise
from .taps import Route, Tap, located_tap, output_tap

if TYPE_CHECKING:
    from .model import Model

DISCOVERY_LENGTH = 11
"""Positions of the recorded pass: a prime that no other axis of a model has, so that an axis of positions is known by
its size.
"""


@dataclass(frozen=True)
class Block:
    """One block in order of execution: its module's path, the kinds of its addends, attention heads where it has
    attention.
    """

    index: int
    path: str
    kinds: tuple[str, ...]
    parallel: bool
    n_heads: int | None


@dataclass
class Anatomy:
    """What was found in a model and what was proven about it.

    ``streams`` counts the residual streams that run side by side; with more than one, residuals are (batch, pos,
    stream, d_model). ``routes`` maps every available site to the place where it is read and written; ``missing`` maps
    site patterns to the reason why the model, or our knowledge of it, lacks them.
    """

    architecture: str
    n_blocks: int
    d_model: int
    vocab_size: int
    blocks: tuple[Block, ...]
    routes: dict[str, Route]
    missing: dict[str, str]
    readout: Readout | None
    logits_at: Location
    exit: Tap
    streams: int
    stream_dtype: torch.dtype
    replays: tuple[list[tuple[str, object]] | None, ...]
    root: torch.nn.Module
    proofs: list[Proof] = field(default_factory=list)
    proven: set[str] = field(default_factory=set)

    @property
    def sites(self) -> tuple[str, ...]:
        """Every site that can be read and written, in order of computation."""
        return (*self.routes, "logits")

    @property
    def readout_head(self) -> Tap | None:
        """Where the unembedding takes its input, if the readout is known and proven."""
        return self.readout.head if self.readout is not None else None

    def has(self, pattern: str) -> bool:
        """Whether a site is available; with ``*`` (``blocks.*.attn.pattern``), whether any is."""
        return any(fnmatch.fnmatchcase(site, pattern.replace("{i}", "*")) for site in self.sites)

    def resolve(self, names: str | Iterable[str]) -> list[str]:
        """Site names in full: wildcards expanded, aliases replaced; raises SiteNotAvailable."""
        return expand(names, self.sites, self.missing, self.n_blocks)

    def unembed(self, resid: torch.Tensor) -> torch.Tensor:
        """Logits (..., vocab) of residuals (..., d_model): the final norm once, the unembedding, scaling and
        soft-capping. A model with several residual streams takes (..., stream, d_model).
        """
        if self.readout is None:
            reason = self.missing.get("unembed", "not found")
            raise UnprovenAnatomy(f"The readout of this {self.architecture} is not known: {reason}")
        tail = (self.d_model,) if self.streams == 1 else (self.streams, self.d_model)
        if tuple(resid.shape[-len(tail) :]) != tail:
            want = "(..., d_model)" if self.streams == 1 else "(..., stream, d_model)"
            raise UnprovenAnatomy(
                f"Residuals are {want} = (..., {', '.join(map(str, tail))}), not {tuple(resid.shape)}."
            )
        like = next(self.root.parameters())
        leading = resid.shape[: -len(tail)]
        flat = resid.reshape(1, -1, *tail) if len(leading) != 2 else resid
        with torch.no_grad():
            laid_out = self.exit.lay_out(flat.to(device=like.device, dtype=self.stream_dtype), tuple(flat.shape))
            logits = replay(self.root, self.readout, laid_out)
        return logits.reshape(*leading, logits.shape[-1])

    def prove_on_use(self, parts: set[str], model: Model) -> None:
        """Prove the kinds of sites that were not proven yet, once; what fails is removed and named in ``missing``."""
        todo = sorted(parts - self.proven)
        for part in todo:
            self.proven.add(part)
            failed = proof.prove_part(self, model, part)
            if failed:
                sites = [site for site in self.routes if part_of(site) == part]
                for site in sites:
                    del self.routes[site]
                self.missing[part if block_of(sites[0]) is None else f"blocks.*.{part}"] = failed
                self.resolve([sites[0]])  # raises, with the reason

    def rebind(self, model: Model) -> Anatomy:
        """The same anatomy over another module of the same architecture (a random-weights twin)."""
        return replace(self, root=model.module, proofs=list(self.proofs), proven=set(self.proven))

    def report(self) -> str:
        """What was found, what was proven with which error, and what is missing and why."""
        kinds: dict[tuple[str, ...], int] = {}
        for block in self.blocks:
            kinds[block.kinds] = kinds.get(block.kinds, 0) + 1
        lines = [
            f"architecture  {self.architecture}: {self.n_blocks} blocks, d_model {self.d_model}, "
            f"vocabulary {self.vocab_size}",
            f"blocks        {self.blocks[0].path} .. {self.blocks[-1].path}",
            "addends       " + "; ".join(f"{'+'.join(kind) or 'unknown'} in {count}" for kind, count in kinds.items()),
            "readout       " + (self.readout.describe() if self.readout is not None else "not known"),
            f"sites         {summarise(self.sites)}",
            "proven",
            *(f"  {item.describe()}" for item in proof.summary(self.proofs)),
        ]
        if self.missing:
            lines += ["missing", *(f"  {site}: {reason}" for site, reason in self.missing.items())]
        return "\n".join(lines)


def discover(model: Model) -> Anatomy:
    """Find the anatomy of a model by one recorded forward pass, and prove it by three plain ones.

    Raises UnprovenAnatomy where no stack of blocks can be found at all. Anything less is reported in
    ``Anatomy.missing``.
    """
    length = DISCOVERY_LENGTH if model.max_positions is None else min(DISCOVERY_LENGTH, model.max_positions)
    ids = proof.random_ids(model, rows=2, length=length)
    recording = record(model.module, lambda: calling.forward(model.module, ids), tuple(ids.shape))  # type: ignore[arg-type]
    found = find_stages(recording)
    if found is None:
        raise UnprovenAnatomy(
            f"{model.id}: no stack of blocks was found in this {model.architecture}: no ModuleList "
            "of which two members ran and through which one stream of vectors goes."
        )
    anatomy = _assemble(model, recording, found[1], ids)
    proof.prove_at_load(anatomy, model)
    return anatomy


def _assemble(model: Model, recording: Recording, stages: Sequence[Stage], ids: torch.Tensor) -> Anatomy:
    flow = Flow(recording, model.module)
    routes: dict[str, Route] = {}
    missing: dict[str, str] = {}
    parts = [dissect(flow, stage) for stage in stages]
    embedding = _embedding(recording, ids)
    if embedding is not None:
        routes["embed"] = Route.at(embedding)
    else:
        missing["embed"] = "no embedding module takes the token ids"
    for index, (stage, inside) in enumerate(zip(stages, parts, strict=True)):
        routes.update(_block_routes(recording, index, stage, inside))
    _collect_missing(parts, missing)
    logits_at = calling.logits_location(recording.result, *ids.shape)
    readout = find_readout(flow, stages[-1].call, stages[-1].after, recording.calls[0].outputs[logits_at])
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
            Block(index, stage.call.path, inside.kinds, inside.parallel, inside.n_heads)
            for index, (stage, inside) in enumerate(zip(stages, parts, strict=True))
        ),
        routes=routes,
        missing=missing,
        readout=None if isinstance(readout, str) else readout,
        logits_at=logits_at,
        exit=located_tap(recording, stages[-1].call, "output", stages[-1].exit),
        streams=_streams(recording.shapes[stages[-1].after], recording.rows),
        stream_dtype=recording.dtypes[stages[-1].after],
        replays=tuple(inside.replay for inside in parts),
        root=model.module,
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
    order = ["resid_pre", "attn.pattern"]
    order += [f"{kind}.{out}" for kind in ("attn", "ssm", "mixer") for out in ("out_raw", "out")]
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
