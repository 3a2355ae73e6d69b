"""The proof that what stands in for a kernel gives what the kernel gives."""

from __future__ import annotations

import functools

import torch

from .. import calling
from ..anatomy import Anatomy, Proof
from ..opened import OpenModel
from ..sites import block_of, part_of
from ..taps import kernels
from ..taps.kernels import KernelTap, form_for
from ..taps.tap import Watch, take
from .closeness import TOLERANCE, distance, tolerance

__all__ = ["prove_kernels"]


def prove_kernels(
    anatomy: Anatomy, model: OpenModel, ids: torch.Tensor, sites: list[str]
) -> tuple[torch.Tensor, list[Proof]]:
    """What stands in for the kernels of ``sites`` gives what they give, on every block, for the same arguments; and the
    logits (batch, pos, vocab) of the pass in which it stands in everywhere and nothing is changed.
    """
    by_tap = {anatomy.routes[site].write: site for site in sites}
    proofs: list[Proof] = []

    def compare(tap: KernelTap, shown: torch.Tensor, kernel: torch.Tensor) -> None:
        stepwise = "state" in form_for(tap.kernel, (tap.site,)).sites
        # kernels compute in float32 even where the weights are finer
        limit = max(tolerance(anatomy, model), TOLERANCE[torch.float32]) if stepwise else 0.0
        identity = "one step at a time, the recurrence gives what the kernel gives"
        if not stepwise:
            identity = "reading leaves the kernel's result bitwise equal"
        site = by_tap[tap]
        proofs.append(Proof(identity, block_of(site), distance(shown, kernel), limit, part_of(site)))

    def look(site: str, value: torch.Tensor) -> None:
        anatomy.seen[site] = tuple(value.shape)

    watches = [Watch(tap, functools.partial(look, site), writes=False) for tap, site in by_tap.items()]
    rows = (int(ids.shape[0]), int(ids.shape[1]))
    with torch.no_grad(), kernels.installed(model.module, watches, rows, lambda: None, compare):
        logits = take(calling.forward(model.module, ids), anatomy.logits_at)
    silent = {*sites} - {f"blocks.{proof.block}.{proof.part}" for proof in proofs}
    proofs += [Proof("the kernel is called", block_of(site), 1.0, 0.0, part_of(site)) for site in sorted(silent)]
    return logits, proofs
