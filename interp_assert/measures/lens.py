"""The logit lens: what the model would answer if its residual stream were read out after each block.

logits_l = unembed(resid_post_l), where ``unembed`` is the model's own final norm, head, scaling and soft-cap, applied
once (nostalgebraist 2020; Belrose et al. 2023). Entry 0 is the embedding, before any block; entry l is block number l,
counted from 1; the last entry equals the model's own logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from ..prompts import Fact, ResolvedFacts
from ..stats import Cost
from .passes import check_context, chunks, elements_at_once, in_passes
from .tokens import in_full, kl_to, rank_of

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = [
    "VERSION",
    "LensScores",
    "first_hit",
    "lens_sites",
    "measure_logit_lens",
    "sustained_crossover",
    "why_no_lens",
]

VERSION = 1
"""of the definition; raised when the same model would get other numbers"""


@dataclass(frozen=True)
class LensScores:
    """The lens at the last position of each prompt; arrays are (fact, entry) with blocks + 1 entries, entry 0 the
    embedding.

    Attributes:
        facts: the prompts, in order.
        rank: tokens whose logit is at least the target's, itself not counted; 0 = the one top token, ties count
        against it.
        p: probability of the target.
        kl: KL(final || entry) in nats; 0 in the last entry.
        decoy_rank: rank of another, wrong target in the same logits, if one was given for each fact.
        crossover: sustained crossover of each fact: the first block from which on the rank stays 0; None for never.
        first_hit: the first block at which the rank is 0; None for never.
        cost: of all that.
    """

    facts: tuple[Fact, ...]
    rank: NDArray[np.int64]
    p: NDArray[np.float64]
    kl: NDArray[np.float64]
    decoy_rank: NDArray[np.int64] | None
    crossover: tuple[int | None, ...]
    first_hit: tuple[int | None, ...]
    cost: Cost

    @property
    def n_blocks(self) -> int:
        """Number of blocks: one less than there are entries."""
        return self.rank.shape[1] - 1

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(fact,) whether the model's own top token is the target."""
        return np.asarray(self.rank[:, -1] == 0)


def sustained_crossover(ranks: Sequence[int] | NDArray[np.int64]) -> int | None:
    """min{l >= 1 : rank is 0 at every entry from l to the last}; None if the last is not 0. Entry 0 is no block."""
    never = np.flatnonzero(np.asarray(ranks) != 0)
    if never.size == 0:
        return 1
    after = int(never[-1]) + 1
    return max(1, after) if after < len(ranks) else None


def first_hit(ranks: Sequence[int] | NDArray[np.int64]) -> int | None:
    """min{l >= 1 : rank is 0}; None for never."""
    hits = np.flatnonzero(np.asarray(ranks)[1:] == 0)
    return int(hits[0]) + 1 if hits.size else None


def measure_logit_lens(
    model: Model, facts: ResolvedFacts | Sequence[Fact], *, decoys: Sequence[int] | None = None
) -> LensScores:
    """Read the lens at the last position of every fact's prompt.

    ``decoys`` gives a second target id for each fact, ranked in the same logits. Each prompt goes through the model
    once; logits are made for one position, entry by entry, in pieces of bounded size.

    Raises UsageProblem for no facts or a wrong number of decoys, ContextTooShort for a prompt that does not fit,
    NonFiniteMeasurement naming the fact and the block.
    """
    chosen = tuple(facts.facts if isinstance(facts, ResolvedFacts) else facts)
    if not chosen:
        raise UsageProblem("no facts were given to the lens; resolve_facts() says why entities were dropped")
    if decoys is not None and len(decoys) != len(chosen):
        raise UsageProblem(f"{len(decoys)} decoy targets for {len(chosen)} facts; give one for each")
    check_context(model, max(len(fact.ids) for fact in chosen), "use shorter templates")
    targets = [(fact.target_id, fact.target_id if decoys is None else int(decoys[i])) for i, fact in enumerate(chosen)]
    sites = lens_sites(model)
    with model.metered() as span:
        results = [
            _read(model, [fact.ids for fact in chosen[part]], targets[part], sites)
            for part in _groups(len(chosen), len(sites) * int(model.anatomy.d_model), model.device)
        ]
    both, p, kl = (np.concatenate([r[key].numpy() for r in results]) for key in ("rank", "p", "kl"))
    _check_finite(model, chosen, p, kl)
    rank = both[..., 0]
    return LensScores(
        facts=chosen,
        rank=rank,
        p=p,
        kl=kl,
        decoy_rank=None if decoys is None else both[..., 1],
        crossover=tuple(sustained_crossover(row) for row in rank),
        first_hit=tuple(first_hit(row) for row in rank),
        cost=span.cost,
    )


def why_no_lens(model: Model) -> str | None:
    """Why the model cannot be read by a lens (no proven readout or residual stream), or None if it can."""
    anatomy = model.anatomy
    missing = [site for site in lens_sites(model) if not anatomy.has(site)]
    if missing:
        return f"the residual stream cannot be read: {missing[0]} is not available"
    if anatomy.readout is None:
        return f"its readout is not known: {anatomy.missing.get('unembed', 'not found')}"
    return None


def lens_sites(model: Model) -> list[str]:
    """What the lens reads: the stream before any block, then after each block."""
    return ["blocks.0.resid_pre", *(f"blocks.{i}.resid_post" for i in range(model.anatomy.n_blocks))]


def entry_logits(model: Model, residual: torch.Tensor) -> torch.Tensor:
    """(..., d_model) -> (..., vocab): the model's own readout, applied once."""
    return in_full(model.unembed(residual))


def _groups(count: int, kept: int, device: torch.device) -> Iterator[slice]:
    """Slices of prompts whose residual streams, ``kept`` numbers each, are held together until they are read out."""
    size = max(1, elements_at_once(device) // 4 // max(1, kept))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _read(
    model: Model, rows: Sequence[Sequence[int]], targets: Sequence[tuple[int, int]], sites: list[str]
) -> dict[str, torch.Tensor]:
    """Rank (row, entry, 2) of both targets, p and KL (row, entry) of the first, all on the CPU.

    All rows go through the model before any is read out: prompts of different lengths make small batches, and reading
    out costs the whole unembedding for each.
    """
    import torch

    def run(batch: torch.Tensor) -> torch.Tensor:
        trace = model.trace(batch, sites, positions=[-1], logits=False)
        last = trace[sites[-1]].device
        return torch.stack([trace[site][:, -1].to(last) for site in sites], 1)

    streams = torch.stack(in_passes(model, rows, run, kept_per_row=len(sites) * int(model.anatomy.d_model)))
    wanted = torch.tensor(targets, device=streams.device)
    pieces: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for part in chunks(len(rows), int(model.vocab_size), streams.device):
        final_logits = entry_logits(model, streams[part, -1])
        final, chosen = final_logits.log_softmax(-1), wanted[part].to(final_logits.device)
        ranks, log_p, kl = [], [], []
        for entry in range(len(sites)):
            is_last = entry == len(sites) - 1
            logits = final_logits if is_last else entry_logits(model, streams[part, entry])
            ranks.append(torch.stack([rank_of(logits, chosen[:, 0]), rank_of(logits, chosen[:, 1])], -1))
            read = final if is_last else logits.log_softmax(-1)
            log_p.append(read.gather(-1, chosen[:, :1])[:, 0].double())
            kl.append(kl_to(final, read).double())
        pieces.append((torch.stack(ranks, 1).cpu(), torch.stack(log_p, 1).cpu(), torch.stack(kl, 1).cpu()))
    rank, log_p_all, kl_all = (torch.cat(part) for part in zip(*pieces, strict=True))
    return {"rank": rank, "p": log_p_all.exp(), "kl": kl_all}


def _check_finite(model: Model, facts: Sequence[Fact], p: NDArray[np.float64], kl: NDArray[np.float64]) -> None:
    bad = np.argwhere(~(np.isfinite(p) & np.isfinite(kl)))
    if len(bad):
        fact, entry = (int(i) for i in bad[0])
        where = "the embedding" if entry == 0 else f"block {entry}"
        raise NonFiniteMeasurement(
            f"{model.id}: the lens is not finite at {where} on {facts[fact].prompt!r} "
            f"({len(bad)} of {p.size} readings); a model that overflows cannot be judged, try --interp-dtype float32"
        )
