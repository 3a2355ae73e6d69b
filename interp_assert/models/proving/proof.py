"""Proofs: the identities that an anatomy promises, checked by numbers on the model itself.

One batch serves many proofs: row ``i + 1`` overwrites block ``i``, row 0 is written back unchanged everywhere and
must not move.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

import torch

from .. import calling
from ..anatomy import Anatomy, Proof
from ..edits import Edit
from ..opened import OpenModel
from ..running import trace_module
from ..sites import block_of, part_of, unnumbered
from ..taps.kernels import KernelTap
from ..taps.tap import take
from ..weights.lending import other_weights, rewritten
from ..weights.placement import parameters, value_of
from .closeness import distance, tolerance
from .kernel_proof import prove_kernels
from .summing import replayed

PROOF_LENGTH = 8
CAUSALITY = "changing the last token moves nothing before it"


def random_ids(model: OpenModel, *, rows: int, length: int) -> torch.Tensor:
    """Seeded token ids from the middle of the vocabulary, where special tokens are rare; all rows alike but drawn
    once.
    """
    generator = torch.Generator().manual_seed(0)
    low, high = model.vocab_size // 5, max(model.vocab_size * 4 // 5, model.vocab_size // 5 + 2)
    row = torch.randint(low, min(high, model.vocab_size), (1, length), generator=generator)
    return row.repeat(rows, 1).to(model.device)


def prove_at_load(anatomy: Anatomy, model: OpenModel) -> None:
    """Residuals, addends and readout on every block; what fails leaves ``routes`` and is named in ``missing``."""
    length = PROOF_LENGTH if model.max_positions is None else min(PROOF_LENGTH, model.max_positions)
    ids = random_ids(model, rows=anatomy.n_blocks + 1, length=length)
    with torch.no_grad():
        plain = take(calling.forward(model.module, ids), anatomy.logits_at)
    sites = [
        site
        for site in anatomy.routes
        if part_of(site) in ("resid_pre", "resid_post", "final_norm") or part_of(site).endswith(".out")
    ]
    values, logits = _pass(anatomy, model, ids, read=sites)
    limit = tolerance(anatomy, model)
    proofs = [Proof("reading leaves the logits bitwise equal", None, distance(logits, plain), 0.0)]
    proofs += _prove_chain(anatomy, values, limit)
    proofs += _prove_sums(anatomy, values, limit)
    proofs += _prove_readout(anatomy, values, logits, limit)
    proofs.append(_prove_causality(anatomy, model, ids[:2]))
    proofs += _prove_writes(anatomy, model, ids, logits, "resid_post")
    anatomy.proofs += proofs
    anatomy.proven |= {"resid_pre", "resid_post"}
    for proof in proofs:
        if not proof.holds:
            _withdraw(anatomy, proof)


def prove_on_use(anatomy: Anatomy, model: OpenModel, parts: set[str]) -> None:
    """Prove the kinds of sites that were not proven yet, once; what fails is withdrawn.

    Raises SiteNotAvailable, with the reason, for a kind that fails.
    """
    for part in sorted(parts - anatomy.proven):
        anatomy.proven.add(part)
        failed = prove_part(anatomy, model, part)
        if failed:
            sites = [site for site in anatomy.routes if part_of(site) == part]
            for site in sites:
                anatomy.withdrawn[site] = anatomy.routes.pop(site)
            anatomy.missing[part if block_of(sites[0]) is None else f"blocks.*.{part}"] = failed
            anatomy.resolve(sites[0])  # raises SiteNotAvailable, with the reason


def prove_part(anatomy: Anatomy, model: OpenModel, part: str) -> str | None:
    """Prove one kind of site on first use; the reason why it fails, or None."""
    length = PROOF_LENGTH if model.max_positions is None else min(PROOF_LENGTH, model.max_positions)
    sites = [site for site in anatomy.routes if part_of(site) == part]
    ids = random_ids(model, rows=len(sites) + 1, length=length)
    if all(isinstance(anatomy.routes[site].write, KernelTap) for site in sites):
        logits, kernel_proofs = prove_kernels(anatomy, model, ids, sites)
        proofs = [*kernel_proofs, *_prove_writes(anatomy, model, ids, logits, part)]
    else:
        values, logits = _pass(anatomy, model, ids, read=sites)
        proofs = _prove_writes(anatomy, model, ids, logits, part)
    if unnumbered(part) == "attn.head_out":
        proofs += _prove_weighted_values(anatomy, model, ids, part)
    if unnumbered(part) == "attn.pattern":
        for site in sites:
            total = values[site].float().sum(-1)
            sinks = bool((total < 0.99).any())  # a share of the attention that goes to no position
            error = float((total - 1).clamp(min=0).max() if sinks else (total - 1).abs().max())
            identity = "attention probabilities sum to 1" + (", less what goes to sinks" if sinks else "")
            proofs.append(Proof(identity, block_of(site), error, max(1e-4, tolerance(anatomy, model)), part))
    anatomy.proofs += proofs
    failed = next((proof for proof in proofs if not proof.holds), None)
    return None if failed is None else failed.describe()


def _prove_weighted_values(anatomy: Anatomy, model: OpenModel, ids: torch.Tensor, part: str) -> list[Proof]:
    """Where nothing is computed between the product and the projection, a head's output is pattern times values."""
    proofs = []
    for block in anatomy.blocks:
        names = [f"blocks.{block.index}.{part.replace('head_out', what)}" for what in ("pattern", "v", "head_out")]
        if not block.weighted_values or not all(name in anatomy.routes for name in names):
            continue
        values, _ = _pass(anatomy, model, ids[:1], read=names)
        pattern, value, out = (values[name].double() for name in names)
        value = value.repeat_interleave(pattern.shape[1] // value.shape[2], 2)
        error = distance(torch.einsum("bhqk,bkhd->bqhd", pattern, value), out)
        limit = tolerance(anatomy, model)
        proofs.append(Proof("a head's output is its pattern times its values", block.index, error, limit, part))
    return proofs


def _pass(
    anatomy: Anatomy,
    model: OpenModel,
    ids: torch.Tensor,
    *,
    read: Iterable[str] = (),
    write: dict[str, list[Edit]] | None = None,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    values, logits = trace_module(model.module, anatomy, ids, list(read), write or {}, None, logits=True)
    assert logits is not None
    anatomy.seen.update({site: tuple(value.shape) for site, value in values.items()})
    return values, logits


def _prove_chain(anatomy: Anatomy, values: dict[str, torch.Tensor], limit: float) -> list[Proof]:
    """The stream goes on from block to block, except where the model itself was seen to work on it in between."""
    proofs = []
    for index in range(1, anatomy.n_blocks):
        gap = distance(values[f"blocks.{index}.resid_pre"], values[f"blocks.{index - 1}.resid_post"])
        if anatomy.joined[index]:
            proofs.append(Proof("resid_pre of a block equals resid_post of the one before", index, gap, limit))
        else:
            anatomy.missing[f"stream from block {index - 1} to {index}"] = (
                f"the model works on it in between: resid_pre differs from the resid_post before by {gap:.2g} of it"
            )
    return proofs


def _prove_sums(anatomy: Anatomy, values: dict[str, torch.Tensor], limit: float) -> list[Proof]:
    proofs = []
    for block, replay in zip(anatomy.blocks, anatomy.replays, strict=True):
        if replay is not None:
            total = replayed(anatomy, block.index, replay, values)
            error = distance(total, values[f"blocks.{block.index}.resid_post"])
            proofs.append(Proof("resid_pre plus addends equals resid_post", block.index, error, limit))
    return proofs


def _prove_readout(
    anatomy: Anatomy, values: dict[str, torch.Tensor], logits: torch.Tensor, limit: float
) -> list[Proof]:
    if anatomy.readout is not None:
        identity = "unembedding the last residual gives the logits"
        source = f"blocks.{anatomy.n_blocks - 1}.resid_post"
    elif anatomy.tail is not None:
        identity = "the head of the final norm gives the logits"
        source = "final_norm"
    else:
        return []
    unembed = anatomy.unembed if anatomy.readout is not None else anatomy.after_final_norm
    try:
        unembedded = unembed(values[source][:1])
    except RuntimeError as error:  # torch's way to say that recorded shapes do not fit other residuals
        return [Proof(f"{identity} ({str(error).splitlines()[0]})", None, float("inf"), limit)]
    return [Proof(identity, None, distance(unembedded, logits[:1]), limit)]


def _prove_causality(anatomy: Anatomy, model: OpenModel, pair: torch.Tensor) -> Proof:
    """A bidirectional model behind a language-model head opens like any other, and sees what it is to predict: two
    rows that differ in their last token differ before it, too.
    """
    pair = pair.clone()
    pair[1, -1] = (pair[1, -1] + 1) % model.vocab_size
    with torch.no_grad():
        same, other = take(calling.forward(model.module, pair), anatomy.logits_at)
    earlier = distance(other[:-1], same[:-1]) if pair.shape[1] > 1 else 0.0
    return Proof(CAUSALITY, None, earlier, tolerance(anatomy, model))


def _prove_writes(
    anatomy: Anatomy, model: OpenModel, ids: torch.Tensor, before: torch.Tensor, part: str
) -> list[Proof]:
    """Write row 0 back unchanged, overwrite the site of block i in row i + 1."""
    sites = [site for site in anatomy.routes if part_of(site) == part]

    def overwrite(row: int) -> Edit:
        def edit(site: torch.Tensor) -> torch.Tensor:
            edited = site.clone()
            edited[row] = _other(site[row])
            return edited

        return edit

    edits: dict[str, list[Edit]] = {site: [overwrite(row)] for row, site in enumerate(sites, start=1)}
    _, after = _pass(anatomy, model, ids, write=edits)
    unmoved = distance(after[0], before[0])
    proofs = [Proof("overwriting moves no foreign row", None, unmoved, tolerance(anatomy, model), part)]
    if unmoved > 0:
        # Experts compute all rows that they share as one matrix, so a changed row can move another one's rounding.
        _, back = _pass(anatomy, model, ids, write={site: [torch.clone] for site in sites})
        unmoved = distance(back, before)
    proofs.append(Proof("writing back unchanged leaves the logits bitwise equal", None, unmoved, 0.0, part))
    moved = {site: distance(after[row], before[row]) > 0 for row, site in enumerate(sites, start=1)}
    identity = "overwriting changes the logits"
    if not all(moved.values()):
        # These weights may ignore the site (a zeroed output matrix). Fresh weights tell that from a dead hook.
        identity += " (where these weights ignore it: of a copy with fresh ones)"
        moved = {site: moved[site] or again for site, again in _moved_when_fresh(anatomy, model, ids, edits).items()}
    # Recorded as an error of 0 or 1: the identity is that something moves, whatever its size.
    proofs += [Proof(identity, block_of(site), 0.0 if moved[site] else 1.0, 0.0, part) for site in sites]
    return proofs


def _moved_when_fresh(
    anatomy: Anatomy, model: OpenModel, ids: torch.Tensor, edits: dict[str, list[Edit]]
) -> dict[str, bool]:
    with other_weights(model.module, model.id) as fresh, torch.no_grad():
        draw_anew(fresh)
        before = trace_module(fresh, anatomy, ids, [], {}, None, logits=True)[1]
        after = trace_module(fresh, anatomy, ids, [], edits, None, logits=True)[1]
    assert before is not None
    assert after is not None
    return {site: distance(after[row], before[row]) > 0 for row, site in enumerate(edits, start=1)}


def draw_anew(module: torch.nn.Module) -> None:
    """Seeded random matrices in place of a module's own: they tell a site that its weights ignore from a dead hook.
    Gains of zero, which some architectures begin with, would keep every matrix of a block from being heard.
    """
    generator, gains = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in parameters(module):
            if parameter.ndim >= 2 and not name.endswith("A_log"):  # random decays would let a state explode
                noise = torch.randn(parameter.shape, generator=generator) / sqrt(parameter.shape[-1])
                with rewritten(module, name) as weight:
                    weight.copy_(noise)
            elif parameter.ndim < 2 and not value_of(module, name).any():
                with rewritten(module, name) as weight:
                    weight.copy_(torch.rand(parameter.shape, generator=gains))


def _other(tensor: torch.Tensor) -> torch.Tensor:
    """Different values of the same kind and size: features (or keys) rolled by one, with another sign pattern."""
    rolled = tensor.roll(1, dims=-1)
    return rolled if not torch.equal(rolled, tensor) else tensor + 1


def _withdraw(anatomy: Anatomy, proof: Proof) -> None:
    """Take back what an identity that does not hold had promised."""
    reason = proof.describe()
    if proof.identity == CAUSALITY:
        anatomy.missing["causality"] = reason
    elif "unembedding" in proof.identity:
        anatomy.doubted, anatomy.readout = anatomy.readout, None
        anatomy.missing["unembed"] = reason
    elif "head of the final norm" in proof.identity:
        anatomy.withdraw("final_norm", reason)
    elif "addends" in proof.identity:
        for name in anatomy.blocks[proof.block or 0].names:
            anatomy.withdraw(f"blocks.{proof.block}.{name}.out", reason)
    else:
        for part in ("resid_pre", "resid_post"):
            for site in [
                site for site in anatomy.routes if part_of(site) == part and proof.block in (None, block_of(site))
            ]:
                anatomy.withdraw(site, reason)
