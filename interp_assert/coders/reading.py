"""A site of a model as vectors: one for each token that counts, all axes after the position made one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING

import torch

from ..errors import NonFiniteMeasurement, SiteNotAvailable, UsageProblem
from ..models import for_batches
from ..prompts import special_ids

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["SiteReader", "held_at_once"]

_PATTERN = "attn.pattern"


def held_at_once(device: torch.device) -> int:
    """How many numbers one step may hold besides the model: 64 MiB of float32 on the CPU, 1 GiB on an accelerator."""
    return 2**24 if device.type == "cpu" else 2**28


class SiteReader:
    """Reads one site of one model.

    The first position of a document never counts, nor do BOS, EOS, padding and other special ids: with or without a
    BOS, the first position holds an outlier of no meaning (on GPT-2 of norm 3,000), and a coder that reconstructs it
    alone would explain nine tenths of the variance.

    ``head`` picks one of a state's or site's heads (its first axis after the position). ``shape`` is that of a value at
    one position: (width,), or a matrix (rows, columns), where several heads are one below the other. ``dtype`` is that
    in which the model computes it.

    Raises SiteNotAvailable; UsageProblem for several sites, a site whose width depends on the text, or a head that is
    not there.
    """

    def __init__(self, model: Model, site: str, head: int | None = None) -> None:
        found = model.anatomy.resolve(site)
        if len(found) != 1:
            raise UsageProblem(f"site {site!r} means {len(found)} sites; a coder is for one, such as {found[0]!r}")
        if found[0].endswith(_PATTERN) or found[0] == "logits":
            raise UsageProblem(f"{found[0]} is not coded: its width is that of the text or of the vocabulary")
        if not model.has(found[0]):  # proven on first use
            raise SiteNotAvailable(f"{model.id} has no {found[0]}: {model.anatomy.missing.get(found[0], 'not proven')}")
        self.model, self.site, self.head = model, found[0], head
        self.dtype = model.dtype
        self.special = torch.tensor(sorted(special_ids(model)), dtype=torch.long)
        self.axes = self._axes()
        heads = self.axes[0]
        if head is not None and (len(self.axes) < 2 or type(head) is not int or not 0 <= head < heads):
            having = f"heads 0 to {heads - 1}" if len(self.axes) > 1 else "no heads"
            raise UsageProblem(f"head={head!r}: {self.site} of {model.id} has {having}")
        axes = self.axes if head is None else self.axes[1:]
        self.shape = axes if len(axes) < 3 else (prod(axes[:-1]), axes[-1])
        self.d_in = prod(self.shape)

    @classmethod
    def of_matrices(cls, model: Model, site: str, head: int | None = None) -> SiteReader:
        """For coders whose atoms are matrices: where a value is one matrix for each head and no head is named, the
        first one. (All of them below each other would be a matrix that no head ever wrote to, and too large.)
        """
        reader = cls(model, site, head)
        return cls(model, site, 0) if head is None and len(reader.axes) > 2 else reader

    def on(self, model: Model) -> SiteReader:
        """The same site of another model of this shape, such as a twin."""
        return SiteReader(model, self.site, self.head)

    def counts(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, pos) whether a position counts."""
        chosen = ~torch.isin(ids, self.special.to(ids.device))
        chosen[:, 0] = False
        return chosen

    def flat(self, value: torch.Tensor) -> torch.Tensor:
        """(batch, pos, ...) as the site has it -> (batch, pos, d_in), float32."""
        own = value if self.head is None else value[:, :, self.head]
        return own.flatten(2).float()

    def put_back(self, value: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
        """The site's value (batch, pos, ...) with ``flat`` (batch, pos, d_in) in place of what is coded of it."""
        if self.head is None:
            return flat.view_as(value).to(value.dtype)
        changed = value.clone()
        changed[:, :, self.head] = flat.view_as(changed[:, :, self.head]).to(value.dtype)
        return changed

    def read(self, rows: Sequence[Sequence[int]]) -> Iterator[list[torch.Tensor]]:
        """Pieces of the rows in their order: of each row the vectors (n, d_in) that count, on the model's device.

        Raises NonFiniteMeasurement naming the first row whose activations are not finite.
        """
        longest = max((len(row) for row in rows), default=1)
        size = max(1, held_at_once(self.model.device) // (longest * prod(self.axes)))
        for start in range(0, len(rows), size):
            values = for_batches(self.model, rows[start : start + size], self._read)
            for place, vectors in enumerate(values):
                if not bool(torch.isfinite(vectors).all()):
                    raise NonFiniteMeasurement(
                        f"{self.model.id}: {self.site} is not finite on document {start + place}; a model that "
                        "overflows cannot be judged, try --interp-dtype float32"
                    )
            yield values

    def _read(self, ids: torch.Tensor) -> list[torch.Tensor]:
        values = self.flat(self.model.trace(ids, [self.site], logits=False)[self.site])
        return [row[counted] for row, counted in zip(values, self.counts(ids), strict=True)]

    def _axes(self) -> tuple[int, ...]:
        ids = torch.zeros(1, 2, dtype=torch.long, device=self.model.device)
        return tuple(self.model.trace(ids, [self.site], logits=False)[self.site].shape[2:])
