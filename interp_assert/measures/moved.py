"""Which heads and neurons a change of weights moved most: summed over positions as batches go by, nothing kept of them.

A part's movement is the mean over positions of ||x' - x||, in units of the mean ||x|| of all parts of its kind in its
block under the base model. (In units of its own, a neuron that hardly ever fires would always come first.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..models.sites import block_of, part_of, unnumbered
from .tokens import in_full

if TYPE_CHECKING:
    import torch

    from ..models import Model
    from ..models.trace import Trace

__all__ = ["PARTS", "MovedParts", "movable_sites", "parts_moved"]

PARTS = {"heads": "attn.head_out", "neurons": "mlp.neurons"}
"""what is called what, and the site at which it is read"""


@dataclass(frozen=True)
class MovedParts:
    """Heads or neurons of every block that shows them in both models.

    ``moved`` and ``size`` hold for each site (number of parts,) the sum over ``positions`` of ||x' - x|| and of ||x||.
    """

    kind: str
    moved: dict[str, NDArray[np.float64]]
    size: dict[str, NDArray[np.float64]]
    positions: int

    def top(self, count: int) -> list[dict[str, Any]]:
        """The parts that moved most: block, number, ``moved`` as the module defines it, ``relative`` in units of the
        part's own mean (None where the base never uses it). Parts that did not move are left out.
        """
        rows = []
        for site, moved in self.moved.items():
            own, typical = self.size[site], float(self.size[site].mean())
            for part in np.argsort(-moved, kind="stable")[:count]:
                if moved[part] > 0:
                    rows.append(
                        {
                            "block": int(block_of(site) or 0),
                            self.kind.removesuffix("s"): int(part),
                            "moved": float(moved[part] / typical) if typical > 0 else None,
                            "relative": float(moved[part] / own[part]) if own[part] > 0 else None,
                        }
                    )
        rows.sort(key=lambda row: -row["moved"] if row["moved"] is not None else -np.inf)
        return rows[:count]


def movable_sites(model: Model, base: Model) -> dict[str, list[str]]:
    """For each kind of parts the sites that both models show."""
    found: dict[str, list[str]] = {}
    for kind, part in PARTS.items():
        sites = [site for site in base.anatomy.sites if unnumbered(part_of(site)) == part]
        found[kind] = [site for site in sites if base.has(site) and model.has(site)]
    return found


def parts_moved(
    traces: tuple[Trace, Trace], sites: Sequence[str], keep: torch.Tensor
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each site whose shapes agree: (parts,) sums over the positions of ``keep`` of ||x' - x|| and ||x||; the
    traces are of the model and of the base.
    """
    import torch

    sums = {}
    for site in sites:
        mine, theirs = (in_full(trace[site]) for trace in traces)
        theirs = theirs.to(mine.device)
        if mine.shape != theirs.shape:
            continue
        norms = [mine - theirs, theirs]
        # heads are vectors (batch, pos, head, d_head), neurons numbers (batch, pos, d_mlp)
        norms = [torch.linalg.vector_norm(x, dim=-1) if x.ndim == 4 else x.abs() for x in norms]
        moved, size = (x[keep.to(x.device)].sum(0, dtype=torch.float64).cpu().numpy() for x in norms)
        sums[site] = (moved, size)
    return sums
