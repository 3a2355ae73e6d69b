"""How a coder is trained: every number that decides the result, so that twins can be given the same."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from ..errors import UsageProblem

__all__ = ["Recipe", "whole_number"]


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


def whole_number(name: str, value: Any, least: int) -> int:
    """``value`` if it is a whole number of at least ``least``; else UsageProblem."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageProblem(f"{name}={value!r} must be a whole number of at least {least}")
    return value
