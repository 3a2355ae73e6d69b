"""The anatomy of a model: its blocks, what they add, its final norm and readout, and what was proven of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ..errors import UnprovenAnatomy
from .readout import Readout, StatedReadout, replay
from .recording.graph import Location
from .recording.layouts import Streams
from .sites import SHAPES, block_of, expand, listing, part_of
from .taps.kernels import KernelTap
from .taps.tap import Route, Tap
from .weights import placement


@dataclass(frozen=True)
class Proof:
    """One identity of one kind of site at one block (None: of the whole model): its relative error and the limit.

    An identity that holds or does not, whatever its size, has error 0 or 1 and limit 0.
    """

    identity: str
    block: int | None
    error: float
    limit: float
    part: str = ""

    @property
    def holds(self) -> bool:
        return self.error <= self.limit  # NaN compares false

    @property
    def size(self) -> str:
        """The error against the limit, in words."""
        if self.limit == 0 and self.error in (0, 1):
            return "exactly" if self.holds else "does not hold"
        return f"relative error {self.error:.2g} {'<=' if self.holds else '>'} {self.limit:.2g}"

    def describe(self) -> str:
        what = f"{self.part}: {self.identity}" if self.part else self.identity
        where = "" if self.block is None else f" at block {self.block}"
        return f"{what}{where}: {self.size}"


@dataclass(frozen=True)
class Block:
    """One block in order of execution: its module's path and the kinds of its addends; where it has attention, its
    heads, how many of them have keys and values of their own, and whether a head's output is just its weighted values;
    which execution of the module it is where there are several. ``names`` are those of its addends in the names of
    sites, ``blocks.{i}.{name}.out``: their kinds, numbered where there are several of one.
    """

    index: int
    path: str
    kinds: tuple[str, ...]
    parallel: bool
    n_heads: int | None
    n_kv_heads: int | None = None
    weighted_values: bool = False
    nth: int | None = None
    names: tuple[str, ...] = ()


@dataclass
class Anatomy:
    """What was found in a model and what was proven about it.

    ``streams`` says how many residual streams run side by side and names their axis; with more than one, residuals are
    (batch, pos, stream, d_model). ``tail`` is the way from the final norm to the logits where that from the residual is
    not known. ``routes`` maps every available site to the place where it is read and written; ``missing`` maps
    site patterns to the reason why the model, or our knowledge of it, lacks them. ``withdrawn`` and ``doubted`` keep
    the routes and the readout that failed a proof, for whoever asks what is wrong with them: ``as_claimed``.
    """

    architecture: str
    n_blocks: int
    d_model: int
    vocab_size: int
    blocks: tuple[Block, ...]
    routes: dict[str, Route]
    missing: dict[str, str]
    readout: Readout | StatedReadout | None
    tail: Readout | None
    logits_at: Location
    exit: Tap
    streams: Streams
    stream_dtype: torch.dtype
    joined: tuple[bool, ...]
    replays: tuple[list[tuple[str, object]] | None, ...]
    root: torch.nn.Module
    proofs: list[Proof] = field(default_factory=list)
    proven: set[str] = field(default_factory=set)
    seen: dict[str, tuple[int, ...]] = field(default_factory=dict)
    withdrawn: dict[str, Route] = field(default_factory=dict)
    doubted: Readout | StatedReadout | None = None

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

    def read_only(self, site: str) -> str | None:
        """Why a site that is available cannot be written; None if it can."""
        route = self.routes.get(site)
        return None if route is None else getattr(route.write, "read_only", None)

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
        tail = self.streams.shape(self.d_model)
        if tuple(resid.shape[-len(tail) :]) != tail:
            raise UnprovenAnatomy(
                f"Residuals are (..., {self.streams.names()}) = (..., {', '.join(map(str, tail))}), "
                f"not {tuple(resid.shape)}."
            )
        home = placement.home(self.root)
        leading = resid.shape[: -len(tail)]
        flat = resid.reshape(1, -1, *tail) if len(leading) != 2 else resid
        flat = flat.to(device=home, dtype=self.stream_dtype)
        with torch.no_grad():
            if isinstance(self.readout, StatedReadout):
                logits = self.readout.logits(self.root, flat, self.vocab_size)
            else:
                laid_out = self.exit.lay_out(flat)
                logits = replay(self.root, self.readout, laid_out, (flat.shape[0], flat.shape[1]))
        return logits.reshape(*leading, logits.shape[-1]).to(home)

    def after_final_norm(self, normed: torch.Tensor) -> torch.Tensor:
        """Logits (batch, pos, vocab) of what the final norm hands out, where no function of the residual gives them."""
        assert self.tail is not None
        assert isinstance(self.tail.final_norm, Tap)
        with torch.no_grad():
            laid_out = self.tail.final_norm.lay_out(normed)
            return replay(self.root, self.tail, laid_out, (normed.shape[0], normed.shape[1]))

    def withdraw(self, site: str, reason: str) -> None:
        """Take a site back because a proof failed."""
        if site in self.routes:
            self.withdrawn[site] = self.routes.pop(site)
        self.missing[site] = reason

    def as_claimed(self) -> Anatomy:
        """The anatomy as it was found, before proofs took anything back: what is examined when one has failed."""
        return replace(self, routes={**self.routes, **self.withdrawn}, readout=self.readout or self.doubted)

    def rebind(self, root: torch.nn.Module) -> Anatomy:
        """The same anatomy over another module of the same architecture (a random-weights twin)."""
        return replace(self, root=root, proofs=list(self.proofs), proven=set(self.proven))

    def report(self) -> str:
        """What was found, what was proven with which error, and what is missing and why."""
        kinds: dict[tuple[str, ...], int] = {}
        for block in self.blocks:
            kinds[block.kinds] = kinds.get(block.kinds, 0) + 1
        addends = "; ".join(f"{' + '.join(kind) or 'unknown'} in {count}" for kind, count in kinds.items())
        streams = "" if self.streams.axis is None else f", {self.streams.count} residual streams"
        lines = [
            f"architecture  {self.architecture}: {self.n_blocks} blocks, d_model {self.d_model}, "
            f"vocabulary {self.vocab_size}{streams}",
            *self._placement(),
            f"blocks        {self.blocks[0].path} .. {self.blocks[-1].path}",
            f"addends       {addends} blocks{', in parallel' if any(block.parallel for block in self.blocks) else ''}",
            "readout       " + (self.readout.describe() if self.readout is not None else "not known"),
            "",
            "sites",
            *(f"  {name:<26}{shape}{count}" for name, shape, count in listing(self.sites, self.seen, self._shapes())),
            "",
            "proven on every block, worst case",
            *(f"  {line}" for line in _proven(self.proofs)),
        ]
        unproven = sorted({part_of(site) for site in self.sites} - self.proven - {"logits"})
        if unproven:
            lines += ["", f"proven on first use: {', '.join(unproven)}"]
        if self.missing:
            lines += ["", "missing", *(f"  {line}" for line in _grouped(self.missing, self.n_blocks))]
        return "\n".join(lines)

    def _placement(self) -> list[str]:
        """Where the weights are, of a model that is spread over several places."""
        if not placement.is_spread(self.root):
            return []
        counts = ", ".join(f"{count:,} on {place}" for place, count in placement.places(self.root).items())
        return [f"parameters    {counts}; ids go to {placement.home(self.root)}"]

    def _shapes(self) -> dict[str, str]:
        """The shape of each kind of site; a state has that of its recurrence."""
        taps = [(site, route.write) for site, route in self.routes.items()]
        own = {part_of(site): tap.shape for site, tap in taps if isinstance(tap, KernelTap) and tap.shape}
        return {**SHAPES, **own}


def _grouped(missing: Mapping[str, str], n_blocks: int) -> list[str]:
    """What is missing, sites with one reason on one line: ``attn.q, attn.k of blocks 0-2, 4: the block has none``."""
    by_reason: dict[str, dict[str, list[int]]] = {}
    for site, reason in missing.items():
        block = block_of(site)
        numbers = list(range(n_blocks)) if ".*." in site else [] if block is None else [block]
        by_reason.setdefault(reason, {}).setdefault(part_of(site), []).extend(numbers)
    lines = []
    for reason, parts in by_reason.items():
        by_blocks: dict[tuple[int, ...], list[str]] = {}
        for part, numbers in parts.items():
            by_blocks.setdefault(tuple(sorted(set(numbers))), []).append(part)
        for blocks, names in by_blocks.items():
            where = (
                "" if not blocks or len(blocks) == n_blocks else f" of block{'s' * (len(blocks) > 1)} {_runs(blocks)}"
            )
            lines.append(f"{', '.join(names)}{where}: {reason}")
    return lines


def _runs(numbers: Sequence[int]) -> str:
    """Sorted numbers in words: ``0-2, 4``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _proven(proofs: Iterable[Proof]) -> list[str]:
    """For each identity its worst case, and the kinds of sites for which it was shown."""
    by_identity: dict[str, list[Proof]] = {}
    for proof in proofs:
        by_identity.setdefault(proof.identity, []).append(proof)
    lines = []
    for identity, shown in by_identity.items():
        worst = max(shown, key=lambda proof: (not proof.holds, proof.error))
        where = "" if worst.holds or worst.block is None else f" at block {worst.block}"
        parts = ", ".join(dict.fromkeys(proof.part for proof in shown if proof.part))
        lines.append(f"{identity}{where}: {worst.size}" + (f" ({parts})" if parts else ""))
    return lines
