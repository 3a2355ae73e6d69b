"""How far the lens at each block is from the model's own distribution, over running text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from ..prompts import bos_id
from .lens import entry_logits, lens_sites
from .passes import check_context, chunks, in_passes
from .tokens import kl_to

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["lens_kl"]


def lens_kl(model: Model, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """(blocks + 1,) mean KL(final || entry) in nats over all positions of all rows but those that hold BOS.

    Entry 0 is the embedding stream, before any block; the last entry is 0. Small values mean little by themselves:
    weights drawn at random can have them everywhere.

    Raises UsageProblem if no position is left, ContextTooShort, NonFiniteMeasurement naming the block.
    """
    check_context(model, max((len(row) for row in rows), default=0), "cut the documents")
    bos, sites = bos_id(model), lens_sites(model)
    counted = sum(token != bos for row in rows for token in row)
    if counted == 0:
        raise UsageProblem(f"{len(rows)} documents without any token but BOS; give text to read the lens on")

    def run(ids: torch.Tensor) -> list[NDArray[np.float64]]:
        import torch

        trace = model.trace(ids, sites, logits=False)
        streams = [trace[site].flatten(0, 1) for site in sites]
        kl = torch.zeros(ids.numel(), len(sites), dtype=torch.float64)
        for part in chunks(ids.numel(), int(model.vocab_size), ids.device):
            final = entry_logits(model, streams[-1][part]).log_softmax(-1)
            for entry, stream in enumerate(streams):
                kl[part, entry] = kl_to(final, entry_logits(model, stream[part]).log_softmax(-1)).double().cpu()
        if bos is not None:
            kl[(ids == bos).flatten().cpu()] = 0.0
        return list(kl.view(*ids.shape, -1).sum(1).numpy())

    kept = max(len(row) for row in rows) * len(sites) * int(model.anatomy.d_model)
    total = np.sum(in_passes(model, sorted(rows, key=len), run, kept_per_row=kept), axis=0) / counted
    bad = np.flatnonzero(~np.isfinite(total))
    if bad.size:
        where = "the embedding" if bad[0] == 0 else f"block {bad[0]}"
        raise NonFiniteMeasurement(f"{model.id}: the lens is not finite at {where}; try --interp-dtype float32")
    return np.asarray(total, dtype=np.float64)
