"""Endless prompts of one's own: a function that makes one prompt from a random generator, as a seeded stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UsageProblem

__all__ = ["Endless"]


class Endless:
    """Prompt k is ``make(generator)`` with a generator that depends on the seed and k only, so a larger budget resumes
    the same stream.

    Raises UsageProblem for a negative seed or something that cannot be called.
    """

    def __init__(self, make: Callable[[np.random.Generator], Any], seed: int = 0) -> None:
        if not callable(make):
            raise UsageProblem(f"make={make!r} must be a function of a random generator that returns one prompt")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise UsageProblem(f"seed = {seed!r}: a seed is an integer >= 0")
        self.make = make
        self.seed = int(seed)

    def take(self, start: int, count: int) -> list[Any]:
        """Prompts start .. start + count - 1."""
        return [self.make(np.random.default_rng([self.seed, 0xE9D1, k])) for k in range(start, start + count)]
