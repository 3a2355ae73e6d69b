"""How a coder is trained: every number that decides the result, so that twins can be given the same."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite, prod, sqrt
from typing import Any

from ..errors import UsageProblem

__all__ = ["Recipe", "recipe_for"]


@dataclass(frozen=True)
class Recipe:
    """One coder's training, complete.

    Raises UsageProblem for a number that is impossible; what only a kind can judge, it judges itself.
    """

    kind: str
    d_sae: int
    """latents"""
    k: int | None
    """active latents per vector, for kinds that keep the k largest"""
    l1: float | None = None
    """weight of the mean absolute code, for kinds that are sparse by a penalty"""
    steps: int = 400
    """of Adam"""
    batch: int = 256
    """vectors per step"""
    lr: float = 0.01
    """the highest; it warms up over a twentieth of the steps and falls to 0 over the last third"""
    tokens: int = 16384
    """ids of the documents to train on; where steps * batch is more, vectors are used again"""
    dead_after: int = 20000
    """vectors on which a latent has been silent when it counts as dead and the auxiliary loss takes it up"""
    aux: float = 1 / 32
    """weight of the auxiliary loss"""
    seed: int = 0
    """of the first weights; several coders on one stream of activations may differ in it"""
    frozen_decoder: bool = False
    """keep the random decoder and train the encoder alone: a control"""

    def __post_init__(self) -> None:
        for name, least in (("d_sae", 1), ("steps", 1), ("batch", 1), ("tokens", 2), ("dead_after", 1), ("seed", 0)):
            whole_number(name, getattr(self, name), least)
        if self.k is not None:
            whole_number("k", self.k, 1)
            if self.k > self.d_sae:
                raise UsageProblem(f"k={self.k} of d_sae={self.d_sae} latents: k is at most d_sae")
        if not isinstance(self.frozen_decoder, bool):
            raise UsageProblem(f"frozen_decoder={self.frozen_decoder!r} must be True or False")
        for name in ("lr", "aux", "l1"):
            value = getattr(self, name)
            if value is None and name == "l1":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
                raise UsageProblem(f"{name}={value!r} must be a number of at least 0")

    def as_dict(self) -> dict[str, Any]:
        """The fields in builtins."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


def recipe_for(d_in: int | tuple[int, ...], kind: str = "topk", **chosen: Any) -> Recipe:
    """A recipe for activations of width ``d_in``, or of that shape, with what is not ``chosen`` (or None) filled in.

    d_sae: four times the width. k: a 24th of the width, at least 8. For kinds whose atoms are products, the width is
    rows + columns, the numbers in an atom. Tokens grow with the latents from 1,024 on, and the batch with them. The
    learning rate falls with the root of the number of latents, as in Gao et al. (2406.04093); a latent is dead after
    being silent for the vectors in which it would fire 200 times if all fired alike. Raises UsageProblem for an unknown
    kind or field, and as ``Recipe``.
    """
    from .coder import kind_named

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


def whole_number(name: str, value: Any, least: int) -> int:
    """``value`` if it is a whole number of at least ``least``; else UsageProblem."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageProblem(f"{name}={value!r} must be a whole number of at least {least}")
    return value
