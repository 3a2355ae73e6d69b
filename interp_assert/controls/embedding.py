"""The embedding layer: what the same probe scores before the model has computed anything (METHODS 1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..stats import ErrorLevels
from .paired import PairedControl

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["embedding_layer", "embedding_site"]


def embedding_layer(margin: float, levels: ErrorLevels) -> PairedControl:
    """The probe tells pairs apart by more than the margin better than one at the embedding of the same position."""
    return PairedControl(
        "embedding",
        margin,
        levels,
        note="AUROC of the probe - AUROC of the same probe at the embedding, on the same pairs",
    )


def embedding_site(model: Model) -> str | None:
    """The stream before the first block, else the embedding itself; None if neither can be read."""
    return next((site for site in ("blocks.0.resid_pre", "embed") if model.anatomy.has(site)), None)
