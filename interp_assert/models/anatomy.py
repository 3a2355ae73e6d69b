"""The anatomy of a model: its blocks, what they add, its final norm and readout, and what was proven of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch

from ..errors import UnprovenAnatomy
from .graph import Location
from .readout import Readout, replay
from .sites import expand, summarise
from .taps import Route, Tap


@dataclass(frozen=True)
class Proof:
    """One identity at one block (None: of the whole model): its relative error, the limit, and whether it holds."""

    identity: str
    block: int | None
    error: float
    limit: float

    @property
    def holds(self) -> bool:
        return self.error <= self.limit  # NaN compares false

    def describe(self) -> str:
        where = "" if self.block is None else f" at block {self.block}"
        sign = "<=" if self.holds else ">"
        return f"{self.identity}{where}: relative error {self.error:.2g} {sign} {self.limit:.2g}"


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

    def rebind(self, root: torch.nn.Module) -> Anatomy:
        """The same anatomy over another module of the same architecture (a random-weights twin)."""
        return replace(self, root=root, proofs=list(self.proofs), proven=set(self.proven))

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
            *(f"  {item.describe()}" for item in worst_of(self.proofs)),
        ]
        if self.missing:
            lines += ["missing", *(f"  {site}: {reason}" for site, reason in self.missing.items())]
        return "\n".join(lines)


def worst_of(proofs: Iterable[Proof]) -> list[Proof]:
    """For each identity its worst case."""
    worst: dict[str, Proof] = {}
    for proof in proofs:
        held = worst.get(proof.identity)
        if held is None or not proof.holds or (held.holds and proof.error > held.error):
            worst[proof.identity] = proof
    return list(worst.values())
