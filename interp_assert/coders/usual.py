"""The usual recipe: what a coder of some kind and size is trained with if nothing else is said."""

from __future__ import annotations

from dataclasses import fields
from math import prod, sqrt
from typing import Any

from ..errors import UsageProblem
from .coder import kind_named
from .recipe import Recipe, whole_number

__all__ = ["recipe_for"]


def recipe_for(d_in: int | tuple[int, ...], kind: str = "topk", **chosen: Any) -> Recipe:
    """A recipe for activations of width ``d_in``, or of that shape, with what is not ``chosen`` (or None) filled in.

    d_sae: four times the width. k: a 24th of the width, at least 8. For kinds whose atoms are products, the width is
    rows + columns, the numbers in an atom. Tokens grow with the latents from 1,024 on, and the batch with them. The
    learning rate falls with the root of the number of latents, as in Gao et al. (2406.04093); a latent is dead after
    being silent for the vectors in which it would fire 200 times if all fired alike. Raises UsageProblem for an unknown
    kind or field, and as ``Recipe``.
    """
    known = {entry.name for entry in fields(Recipe)}
    unknown = sorted(set(chosen) - known)
    if unknown:
        raise UsageProblem(f"a recipe has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    given = {name: value for name, value in chosen.items() if value is not None}
    made = kind_named(kind)
    shape = d_in if isinstance(d_in, tuple) else (d_in,)
    width = sum(shape) if made.of_matrices else prod(shape)
    d_sae = whole_number("d_sae", given.setdefault("d_sae", 4 * width), 1)
    if made.selects_k:
        given.setdefault("k", min(max(8, width // 24), d_sae))
    if made.l1 is not None:
        given.setdefault("l1", made.l1)
    given.setdefault("lr", 0.16 / sqrt(d_sae))
    given.setdefault("tokens", max(16384, 16 * d_sae))
    given.setdefault("batch", max(256, d_sae // 4))
    given.setdefault("dead_after", 200 * d_sae // max(1, given.get("k") or 1) if made.selects_k else 20000)
    recipe = Recipe(kind, **{"k": None, **given})
    made.check(recipe)
    return recipe
