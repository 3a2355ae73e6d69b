"""A sparse coder in the profile: what share of the middle block's variance a TopK coder explains, beside PCA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..assertions.progress import report
from ..assertions.variance_explained import CHECK, DEFAULTS
from ..controls import principal_components
from ..prompts import rows_of
from ..stats import ratio_interval
from .figure import LEVEL, Figure, Request
from .measure import ProfiledMeasure

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["MEASURE"]

_SAMPLE = 2**22
"""numbers of the training activations that principal components are taken from"""


def figures(model: Model, asked: Request) -> Sequence[Figure]:
    """One figure: pooled over documents that the model writes itself and that the coder was not trained on. Blank where
    it cannot write any.
    """
    from ..coders import SiteReader, evaluate_coders, fit_coders, recipe_for
    from ..coders.stream import ActivationStream

    site = f"blocks.{int(model.anatomy.n_blocks) // 2}.resid_post"
    reader = SiteReader(model, site)
    large = model.n_parameters > DEFAULTS.large
    recipe = recipe_for(reader.d_in, d_sae=2 * reader.d_in if large else None, seed=asked.seed)
    documents = rows_of(model, None, length=DEFAULTS.length, seed=asked.seed)
    stream = ActivationStream(reader, documents.training(recipe.tokens), seed=asked.seed)

    def each(done: int, steps: int) -> None:
        report("profile: training a sparse coder", model.id, done, steps)

    [coder] = fit_coders(stream, [recipe], documents=documents.note, each=each)
    rank = min(recipe.k or 1, reader.d_in)
    components = principal_components(stream.sample(_SAMPLE), stream.mean, rank)
    judged = documents.evaluation(0, asked.clusters)
    scores, projected = evaluate_coders(reader, [coder, components], judged, stream.mean)
    left = np.array([s.residual for s in scores.sums])
    low, high = ratio_interval(left, np.array([s.total for s in scores.sums]), level=1.0 - LEVEL)
    pca = projected.pooled.about_centre
    return [
        Figure(
            measure=CHECK,
            quantity=MEASURE.quantity,
            value=scores.pooled.about_centre,
            interval=(1.0 - high, 1.0 - low),
            n=len(scores.documents),
            unit="share of variance",
            note=f"PCA {pca:.3f}" + ("; undertrained" if large else ""),
            approximate=True,
            details={
                "site": site,
                "l0": scores.l0,
                "dead": scores.dead,
                "pca": pca,
                "rank": rank,
                "recipe": recipe.as_dict(),
                "documents": documents.note,
            },
        )
    ]


MEASURE = ProfiledMeasure(
    CHECK,
    "sparse coder",
    figures,
    "variance of the middle block's stream that a TopK coder explains; below it, PCA with as many components as are "
    "active",
    costly=True,
)
