"""Whether two libraries see the same model: the same values at the same sites, the same logits after the same edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..models.sites import block_of, part_of
from .backend import Backend

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["TOLERANCE", "Agreement", "compare"]

TOLERANCE = 1e-5
"""Largest relative difference at which two libraries agree in float32; in other number formats it is that of proofs."""

_ROWS, _LENGTH = 2, 12


@dataclass(frozen=True)
class Agreement:
    """One comparison: ``difference`` is ||theirs - ours|| / ||ours||, of the site's value or of the logits after an
    edit of it; ``moved`` is how far the edit moved our logits (0 for a capture).
    """

    backend: str
    site: str
    kind: Literal["capture", "edit"]
    difference: float
    limit: float
    moved: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether they agree, and, of an edit, whether there was anything to agree on."""
        return self.difference <= self.limit and (self.kind == "capture" or self.moved > self.limit)

    def describe(self) -> str:
        what = "its value" if self.kind == "capture" else "the logits after an edit of it"
        if self.kind == "edit" and not self.moved > self.limit:
            return f"{self.site}: the edit moved our logits by {self.moved:.2g} only, so nothing was compared"
        sign = "<=" if self.difference <= self.limit else ">"
        return f"{self.site}: {what} in {self.backend} differs from ours by {self.difference:.2g} {sign} {self.limit:g}"


def compare(model: Model, backend: Backend, *, kinds: Sequence[str] = ("capture", "edit")) -> list[Agreement]:
    """Compare every site that both can name on a random batch: all captures; edits in the first, the middle and the
    last block.
    """
    import torch

    from ..models.proving.closeness import tolerance
    from ..models.proving.proof import random_ids

    length = min(_LENGTH, model.max_positions or _LENGTH)
    ids = random_ids(model, rows=_ROWS, length=length)
    ids[1] = ids[1].flip(0)
    limit = max(TOLERANCE, tolerance(model.anatomy, model)) if model.dtype != torch.float64 else TOLERANCE
    found: list[Agreement] = []
    if "capture" in kinds:
        theirs = backend.capture(ids, backend.sites)
        ours = model.trace(ids, read=list(backend.sites))
        found += [
            Agreement(backend.name, site, "capture", _difference(theirs[site], ours[site]), limit)
            for site in backend.sites
        ]
    if "edit" in kinds:
        found += _edits(model, backend, ids, limit)
    return found


def _edits(model: Model, backend: Backend, ids: torch.Tensor, limit: float) -> Iterator[Agreement]:
    plain = model.trace(ids).logits
    blocks = {None, 0, model.anatomy.n_blocks // 2, model.anatomy.n_blocks - 1}
    for site in backend.sites:
        if block_of(site) not in blocks or part_of(site) == "logits":
            continue
        theirs = backend.logits(ids, site, _rolled)
        if theirs is not None:
            ours = model.trace(ids, write={site: _rolled}).logits
            yield Agreement(backend.name, site, "edit", _difference(theirs, ours), limit, _difference(ours, plain))


def _rolled(site: torch.Tensor) -> torch.Tensor:
    """An edit that fits every site: features (or keys) rolled by one, at half their size."""
    return site.roll(1, dims=-1) * 0.5


def _difference(theirs: torch.Tensor, ours: torch.Tensor) -> float:
    if theirs.shape != ours.shape:
        return float("inf")
    theirs, ours = theirs.detach().double(), ours.detach().double()
    return float((theirs - ours).norm() / ours.norm().clamp_min(1e-30))
