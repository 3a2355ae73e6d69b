"""What a coder explains: variance in float64, pooled and by document; how many latents it uses, and how many never.

VE = 1 - sum ||x - x_hat||^2 / sum ||x - x_bar||^2 over all vectors (METHODS: 1.5). Sums of squares are streamed in
float64 about the mean of the training stream, which is near the evaluation set's, so nothing cancels: the pooled figure
is about the evaluation set's own mean, that of a document about the training stream's, which no evaluation document has
moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from .coder import Coder
from .reading import SiteReader, held_at_once
from .stream import NothingVaries

__all__ = ["CoderScores", "Reconstruction", "VarianceSums", "evaluate_coders"]

Reconstruction = Callable[[torch.Tensor], torch.Tensor]
"""(n, d_in) -> (n, d_in); a Coder is one, a projection on principal components another"""

Floats = NDArray[np.float64]

_LEAST_VARIANCE = 1e-12
"""share of the square about the centre: less is what rounding leaves of vectors that are all the same"""


@dataclass(frozen=True)
class VarianceSums:
    """Of n vectors: everything that variance explained is made of, in float64; sums add.

    Attributes:
        n: vectors.
        residual: sum ||x - x_hat||^2.
        total: sum ||x - centre||^2.
        shift: (d_in,) sum of x - centre.
    """

    n: int
    residual: float
    total: float
    shift: Floats

    @classmethod
    def of(cls, x: torch.Tensor, reconstructed: torch.Tensor, centre: torch.Tensor) -> VarianceSums:
        """``x`` and ``reconstructed`` (n, d_in), made float64 before anything is subtracted; ``centre`` (d_in,)."""
        from_centre = x.double() - centre.double()
        residual = (x.double() - reconstructed.detach().double()).square().sum()
        return cls(len(x), float(residual), float(from_centre.square().sum()), from_centre.sum(0).cpu().numpy())

    def __add__(self, other: VarianceSums) -> VarianceSums:
        return VarianceSums(
            self.n + other.n, self.residual + other.residual, self.total + other.total, self.shift + other.shift
        )

    @property
    def about_centre(self) -> float:
        """Variance explained, about the centre that was given."""
        return _explained(self.residual, self.total)

    @property
    def about_own_mean(self) -> float:
        """Variance explained, about the mean of these vectors."""
        return _explained(self.residual, self.about_own)

    @property
    def about_own(self) -> float:
        """sum ||x - mean||^2 about the mean of these vectors."""
        return self.total - float(self.shift @ self.shift) / max(1, self.n)


@dataclass(frozen=True)
class CoderScores:
    """How one coder does on some documents.

    Attributes:
        documents: their names.
        sums: of each document.
        active: entries of all codes that are not 0; None for what has no code.
        firings: (d_sae,) on how many vectors each latent was active; None for what has no code.
    """

    documents: tuple[str, ...]
    sums: tuple[VarianceSums, ...]
    active: int | None = None
    firings: NDArray[np.int64] | None = None

    def extend(self, other: CoderScores) -> CoderScores:
        """These documents, then those of ``other``."""
        both = replace(self, documents=self.documents + other.documents, sums=self.sums + other.sums)
        if self.firings is None or other.firings is None or self.active is None or other.active is None:
            return both
        return replace(both, active=self.active + other.active, firings=self.firings + other.firings)

    def head(self, n: int) -> CoderScores:
        """The first ``n`` documents, without the codes' figures, which are those of all."""
        return CoderScores(self.documents[:n], self.sums[:n])

    @property
    def pooled(self) -> VarianceSums:
        """Over all documents."""
        return sum(self.sums[1:], start=self.sums[0])

    @property
    def variance_explained(self) -> float:
        """Pooled, about the mean of the evaluation set."""
        return self.pooled.about_own_mean

    @property
    def by_document(self) -> Floats:
        """(documents,) variance explained about the training stream's mean; NaN where a document does not vary."""
        return np.array([s.about_centre if s.total > 0.0 else np.nan for s in self.sums])

    @property
    def l0(self) -> float | None:
        """Mean number of active latents per vector."""
        return None if self.active is None else self.active / max(1, self.pooled.n)

    @property
    def dead(self) -> float | None:
        """Share of the latents that were active on no vector of these documents."""
        return None if self.firings is None else float((self.firings == 0).mean())


def evaluate_coders(
    reader: SiteReader,
    coders: Sequence[Coder | Reconstruction],
    documents: Sequence[tuple[str, Sequence[int]]],
    centre: torch.Tensor,
) -> list[CoderScores]:
    """Scores of each coder on the same (name, ids); every document is read once, memory does not grow with their
    number.

    ``centre`` (d_in,) is the mean of the training stream. Raises UsageProblem for no documents, a document of which no
    token counts, or a coder of another width; NothingVaries if all activations are the same; NonFiniteMeasurement if
    activations or reconstructions are not finite.
    """
    if not documents:
        raise UsageProblem("no documents to judge a coder on; give at least one")
    for coder in coders:
        if isinstance(coder, Coder) and coder.d_in != reader.d_in:
            raise UsageProblem(
                f"this coder is for activations of width {coder.d_in}; {reader.site} of {reader.model.id} has "
                f"{reader.d_in}: give the site that it was trained on"
            )
    tallies = [_Tally(coder, centre) for coder in coders]
    done = 0
    with torch.no_grad():
        for piece in reader.read([ids for _, ids in documents]):
            for place, vectors in enumerate(piece):
                if len(vectors) == 0:
                    raise UsageProblem(
                        f"document {documents[done + place][0]!r} has no token that counts; leave it out"
                    )
            for tally in tallies:
                tally.take(piece)
            done += len(piece)
    names = tuple(name for name, _ in documents)
    pooled = sum(tallies[0].sums[1:], start=tallies[0].sums[0]) if tallies else None
    if pooled is not None and pooled.about_own <= _LEAST_VARIANCE * pooled.total:
        raise NothingVaries(
            f"{reader.model.id}: {reader.site} is the same on all {pooled.n} tokens of these documents; there is "
            "nothing to explain"
        )
    return [tally.scores(names) for tally in tallies]


class _Tally:
    """Sums of one coder, document by document."""

    def __init__(self, coder: Coder | Reconstruction, centre: torch.Tensor) -> None:
        self.coder, self.centre = coder, centre
        self.sums: list[VarianceSums] = []
        self.active = 0
        self.firings: torch.Tensor | None = None

    def take(self, piece: Sequence[torch.Tensor]) -> None:
        """Documents (n, d_in), coded together."""
        centre = self.centre.to(piece[0].device)
        size = max(1, held_at_once(centre.device) // getattr(self.coder, "d_sae", len(centre)))
        coded = torch.cat([self._reconstructed(part) for part in torch.cat(list(piece)).split(size)])
        if not bool(torch.isfinite(coded).all()):
            raise NonFiniteMeasurement(
                "a reconstruction is not finite; the coder's weights are too large for these activations, or damaged"
            )
        for vectors, reconstructed in zip(piece, coded.split([len(vectors) for vectors in piece]), strict=True):
            self.sums.append(VarianceSums.of(vectors, reconstructed, centre))

    def _reconstructed(self, x: torch.Tensor) -> torch.Tensor:
        if not isinstance(self.coder, Coder):
            return self.coder(x)
        code, reconstructed = self.coder.coded(x)
        self.active += code.active()
        firings = code.firings()
        self.firings = firings if self.firings is None else self.firings + firings
        return reconstructed

    def scores(self, names: tuple[str, ...]) -> CoderScores:
        if self.firings is None:
            return CoderScores(names, tuple(self.sums))
        return CoderScores(names, tuple(self.sums), self.active, self.firings.cpu().numpy())


def _explained(residual: float, total: float) -> float:
    """1 - residual / total; minus infinity where nothing varies and something is left."""
    if total <= 0.0:
        return 1.0 if residual == 0.0 else -np.inf
    return 1.0 - residual / total
