"""Stand-ins for a model's site: vectors that a test made, one document each, read as a model's would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from interp_assert.coders import Recipe, recipe_for
from interp_assert.coders.stream import ActivationStream


class PlantedReader:
    """Document i is the i-th piece of ``vectors``, its row of ids ``(i,)``. ``read_rows`` counts what was asked for."""

    def __init__(self, vectors: torch.Tensor, shape: tuple[int, ...] | None = None, per_document: int = 50) -> None:
        self.pieces = list(vectors.split(per_document))
        self.shape = shape or (vectors.shape[1],)
        self.d_in = vectors.shape[1]
        self.site, self.head = "planted", None
        self.model: Any = SimpleNamespace(id="planted", device=torch.device("cpu"))
        self.dtype = torch.float32
        self.read_rows = 0

    @property
    def rows(self) -> list[tuple[int]]:
        return [(i,) for i in range(len(self.pieces))]

    def read(self, rows: Sequence[Sequence[int]]) -> Iterator[list[torch.Tensor]]:
        for start in range(0, len(rows), 4):
            chosen = rows[start : start + 4]
            self.read_rows += len(chosen)
            yield [self.pieces[row[0]] for row in chosen]


def stream_of(vectors: torch.Tensor, *, seed: int = 0, **options: Any) -> ActivationStream:
    elements = options.pop("elements", None)
    reader = PlantedReader(vectors, **options)
    return ActivationStream(reader, reader.rows, seed=seed, elements=elements)  # type: ignore[arg-type]


def quick(d_in: int, kind: str = "topk", **chosen: Any) -> Recipe:
    return recipe_for(d_in, kind, **{"steps": 200, "batch": 128, **chosen})


def sparse_sums(
    atoms: torch.Tensor, active: int, n: int, *, seed: int = 0, low: float = 1.0, high: float = 1.0
) -> torch.Tensor:
    """(n, d): sums of ``active`` different rows of ``atoms`` with weights between ``low`` and ``high``."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.rand(n, len(atoms), generator=generator).topk(active, -1).indices
    weight = low + (high - low) * torch.rand(n, active, generator=generator)
    return torch.einsum("nk,nkd->nd", weight, atoms[index])
