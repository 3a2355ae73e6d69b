"""Drift: how far a model has moved from the one it was made of, block by block and at its output.

Both read the same documents, in step. Per document, over the positions that count: at the embedding and after every
block the mean of ||x' - x|| and of ||x||, the cosine, and the terms of debiased linear CKA; at the output the total
variation, KL(base || model) and the share of equal top tokens. The first position and special tokens do not count:
BOS, and whatever token attention sinks into, has a norm that drowns the rest. Relative movement is a ratio of means,
never a mean of ratios. Identical models give exactly 0 (METHODS: 1.14).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from ..prompts import Document, special_ids
from ..stats import Cost, Measurement
from .cka import hsic
from .drift_scores import DriftScores, ResidualDrift
from .lens import lens_sites
from .moved import MovedParts, movable_sites, parts_moved
from .output_drift import output_distances
from .passes import check_context, in_passes
from .tokens import in_full

if TYPE_CHECKING:
    import torch

    from ..models import Model
    from ..models.trace import Trace

__all__ = ["VERSION", "measure_drift", "metered_together", "why_no_residual_drift"]

VERSION = 1
"""of the definition; raised when the same models would get other numbers"""


def measure_drift(
    model: Model, base: Model, documents: Sequence[Document], *, parts: bool = False, residual: bool = True
) -> DriftScores:
    """Let both models read ``documents``, each once, and compare them position by position.

    ``parts`` reads heads and neurons as well; ``residual=False`` compares the output alone. What is kept of a batch is
    a few numbers for each document, so memory does not grow with their number.

    Raises UsageProblem for no documents or one without a position that counts, ContextTooShort if one does not fit,
    NonFiniteMeasurement naming the model, the document and the block.
    """
    if not documents:
        raise UsageProblem("no documents were given to compare the models on")
    longest = max(len(document.ids) for document in documents)
    for each in (model, base):
        check_context(each, longest, "use shorter texts")
    reason = why_no_residual_drift(model, base) if residual else "not asked for"
    comparison = _Comparison(model, base, residual=reason is None, parts=parts)
    silent = next((d for d in documents if set(d.ids[1:]) <= set(comparison.specials)), None)
    if silent is not None:
        raise UsageProblem(f"document {silent.id!r} has no position that counts: it is all special tokens")
    with metered_together(model, base) as spent:
        rows = in_passes(
            model, [d.ids for d in documents], comparison.run, kept_per_row=comparison.kept_per_row(longest)
        )
    counted = np.array([row["positions"] for row in rows])
    output = np.stack([row["output"] for row in rows])
    _refuse_not_finite(model, base, documents, rows)
    names = tuple(document.id for document in documents)

    def measured(name: str, column: int, hi: float, unit: str, direction: Any) -> Measurement:
        return Measurement(f"drift/{name}", VERSION, names, output[:, column], 0.0, hi, unit, direction)

    return DriftScores(
        total_variation=measured("total_variation", 0, 1.0, "total variation", "lower"),
        kl=measured("kl", 1, inf, "nats", "lower"),
        agreement=measured("agreement", 2, 1.0, "share of positions", "higher"),
        residual=None if reason is not None else _residual(rows),
        no_residual=reason,
        moved=comparison.moved(),
        positions=int(counted.sum()),
        cost=spent(),
    )


def why_no_residual_drift(model: Model, base: Model) -> str | None:
    """Why the two residual streams cannot be compared block by block, or None if they can."""
    mine, theirs = model.anatomy, base.anatomy
    if mine.d_model != theirs.d_model:
        return f"the residual streams differ in width: {mine.d_model} in {model.id}, {theirs.d_model} in {base.id}"
    if mine.n_blocks != theirs.n_blocks:
        return f"the models differ in depth: {mine.n_blocks} blocks in {model.id}, {theirs.n_blocks} in {base.id}"
    if mine.streams.count != theirs.streams.count:
        return f"the models differ in residual streams: {mine.streams.count} and {theirs.streams.count}"
    for each in (model, base):
        missing = next((site for site in lens_sites(each) if not each.has(site)), None)
        if missing is not None:
            return f"the residual stream of {each.id} cannot be read: {missing} is not available"
    return None


@contextmanager
def metered_together(model: Model, base: Model) -> Iterator[Any]:
    """Yields a function that gives the cost so far of both; a meter that they share is counted once."""
    with ExitStack() as stack:
        spans = [stack.enter_context(model.metered())]
        if base.meter is not model.meter:
            spans.append(stack.enter_context(base.metered()))

        def spent() -> Cost:
            costs = [span.cost for span in spans]
            total = sum(costs[1:], costs[0])
            return replace(total, seconds=max(cost.seconds for cost in costs))

        yield spent


class _Comparison:
    """Reads both models on a batch of ids; sums over heads and neurons grow as batches go by."""

    def __init__(self, model: Model, base: Model, *, residual: bool, parts: bool) -> None:
        self.model, self.base = model, base
        self.entries = lens_sites(base) if residual else []
        self.parts = movable_sites(model, base) if parts else {}
        self.specials = sorted(special_ids(base) | special_ids(model))
        self.sums: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self.positions = 0

    @property
    def sites(self) -> list[str]:
        return [*self.entries, *(site for sites in self.parts.values() for site in sites)]

    def kept_per_row(self, length: int) -> int:
        """Numbers that one row takes while it is compared: what is read of both, with the logits."""
        anatomy = self.base.anatomy
        wide = sum(_width(self.base, site) for site in self.sites)
        logits = 2 * (int(self.model.vocab_size) + int(self.base.vocab_size))
        return 2 * length * (wide + int(anatomy.d_model)) + length * logits

    def run(self, ids: torch.Tensor) -> dict[str, Any]:
        """Entries for each row of ``ids`` (batch, pos)."""
        mine = self.model.trace(ids, self.sites)
        theirs = mine if self.base is self.model else self.base.trace(ids, self.sites)
        keep = self._counted(ids)
        counts = keep.sum(-1).cpu()
        flat = keep.flatten()
        at = [trace.logits.flatten(0, 1)[flat.to(trace.logits.device)] for trace in (mine, theirs)]
        output = _means(output_distances(*at), keep.cpu(), counts)
        residual = [self._entry(mine, theirs, site, keep, counts) for site in self.entries]
        sums = parts_moved((mine, theirs), self.sites[len(self.entries) :], keep)
        # Nothing is added before all has been computed: a batch that runs out of memory is done again in halves.
        for site, (moved, size) in sums.items():
            before = self.sums.get(site, (0.0, 0.0))
            self.sums[site] = (before[0] + moved, before[1] + size)
        self.positions += int(counts.sum())
        entries: dict[str, Any] = {"positions": counts.tolist(), "output": output.numpy()}
        if residual:
            entries["norms"] = np.stack([norms for norms, _ in residual], 1)
            entries["hsic"] = np.stack([terms for _, terms in residual], 1)
        return entries

    def moved(self) -> tuple[MovedParts, ...]:
        found = []
        for kind, sites in self.parts.items():
            seen = [site for site in sites if site in self.sums]
            if seen:
                moved, size = ({site: self.sums[site][i] for site in seen} for i in (0, 1))
                found.append(MovedParts(kind, moved, size, self.positions))
        return tuple(found)

    def _counted(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, pos) which positions count: not the first, not those of special tokens."""
        import torch

        keep = ~torch.isin(ids, torch.tensor(self.specials, dtype=ids.dtype, device=ids.device))
        keep[:, 0] = False
        return keep

    @staticmethod
    def _entry(
        mine: Trace, theirs: Trace, site: str, keep: torch.Tensor, counts: torch.Tensor
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(row, 3) mean ||x' - x||, ||x|| and cosine, and (row, 3) HSIC terms."""
        import torch

        x, base = (in_full(trace[site]).flatten(2) for trace in (mine, theirs))
        base = base.to(x.device)
        moved, size = (torch.linalg.vector_norm(v, dim=-1, dtype=torch.float64) for v in (x - base, base))
        x64, base64 = x.double(), base.double()
        lengths = (x64.square().sum(-1) * base64.square().sum(-1)).sqrt()
        both_zero = torch.where((moved == 0) & (size == 0), 1.0, 0.0).double()
        cosine = torch.where(lengths == 0, both_zero, (x64 * base64).sum(-1) / lengths)
        kept = keep.to(x.device)
        values = torch.stack([moved, size, cosine], -1)[kept].cpu()
        return _means(values, keep.cpu(), counts).numpy(), hsic(x, base, kept).cpu().numpy()


def _means(values: torch.Tensor, keep: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """(kept positions, k) -> (row, k): the mean over each row's positions."""
    import torch

    spread = torch.zeros(*keep.shape, values.shape[-1], dtype=torch.float64)
    spread[keep] = values
    return spread.sum(1) / counts[:, None]


def _residual(rows: Sequence[dict[str, Any]]) -> ResidualDrift:
    norms = np.stack([row["norms"] for row in rows])
    return ResidualDrift(norms[..., 0], norms[..., 1], norms[..., 2], np.stack([row["hsic"] for row in rows]))


def _width(model: Model, site: str) -> int:
    shape = model.anatomy.seen.get(site)
    return int(np.prod(shape[2:])) if shape else int(model.anatomy.d_model)


def _refuse_not_finite(
    model: Model, base: Model, documents: Sequence[Document], rows: Sequence[dict[str, Any]]
) -> None:
    for document, row in zip(documents, rows, strict=True):
        bad = np.argwhere(~np.isfinite(row.get("norms", np.zeros((0, 3)))))
        if len(bad):
            entry = int(bad[0, 0])
            whose = base if not np.isfinite(row["norms"][entry, 1]) else model
            where = "the embedding" if entry == 0 else f"block {entry}"
            raise NonFiniteMeasurement(
                f"{whose.id}: the residual stream is not finite at {where} on document {document.id!r}; a model that "
                "overflows cannot be judged, try --interp-dtype float32"
            )
        if not np.isfinite(row["output"]).all():
            raise NonFiniteMeasurement(
                f"{model.id} against {base.id}: the output cannot be compared on document {document.id!r}, one of them "
                "gives a probability that is NaN, or 0 where the other does not; try --interp-dtype float32"
            )
