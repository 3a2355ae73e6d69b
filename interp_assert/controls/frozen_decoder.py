"""Frozen random decoder: the same coder with atoms that were never trained, its encoder trained alone (METHODS: C10).

Enough random atoms reconstruct a good part of anything (Korznikov et al. 2602.14111): what is explained beyond it is
what training the dictionary was for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..stats import ErrorLevels
from .by_document import BetterByDocument

if TYPE_CHECKING:
    from ..coders.recipe import Recipe

__all__ = ["frozen_decoder_control", "with_frozen_decoder"]


def with_frozen_decoder(recipe: Recipe) -> Recipe:
    """The same training from the same first weights, but for the atoms, which stay as they were drawn."""
    return replace(recipe, frozen_decoder=True)


def frozen_decoder_control(
    margin: float, pi: float, levels: ErrorLevels, *, population: int | None = None
) -> BetterByDocument:
    """The coder against one whose random atoms were frozen: same kind, latents, sparsity, steps and activations."""
    note = "the same recipe with its random decoder frozen"
    return BetterByDocument("frozen_decoder", margin, pi, levels, note=note, population=population)
