"""What the caller asked for, checked and completed before anything is measured."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from ..errors import UsageProblem
from ..stats import STANDARD, Budget, ErrorLevels

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["budget_of", "copy_length_of", "levels_of", "model_of", "seed_of", "share_of", "twins_of"]


def model_of(model: object) -> Model:
    """The handle of a model; a bare module is refused with the way to make one."""
    from ..models import Model

    if not isinstance(model, Model):
        raise UsageProblem(f"a claim is about a Model, not {type(model).__name__}: use load(id), or wrap(module)")
    return model


def budget_of(budget: Budget | str | int | None) -> Budget:
    """A budget as an object, its name, or a number of clusters; ``standard`` if none is given."""
    if budget is None:
        return STANDARD
    if isinstance(budget, Budget):
        return budget
    if isinstance(budget, str):
        return Budget.named(budget)
    return Budget("custom", budget)


def levels_of(levels: ErrorLevels | None) -> ErrorLevels:
    """The given error levels or the defaults."""
    if levels is not None and not isinstance(levels, ErrorLevels):
        raise UsageProblem(f"levels={levels!r} must be an ErrorLevels(pass_=..., fail=..., control=...) or None")
    return levels if levels is not None else ErrorLevels()


def copy_length_of(n: int) -> int:
    """The number of tokens that are said twice: the first of the second copy is not scored, so 2 at least."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise UsageProblem(f"n = {n!r} tokens per copy: n must be a whole number of at least 2")
    return n


def share_of(name: str, value: float) -> float:
    """A floor or margin on a share: at least 0 and below 1 (nothing lies above 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or not 0.0 <= value < 1.0:
        raise UsageProblem(f"{name}={value!r} must be a number of at least 0 and below 1")
    return float(value)


def seed_of(seed: int) -> int:
    """A seed is a whole number, 0 or more, that torch's generators can hold."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise UsageProblem(f"seed={seed!r} must be a whole number, 0 or more and below 2**63")
    return seed


def twins_of(twins: int | None) -> int | None:
    """The number of random-weight twins, or None for the model's default."""
    if twins is not None and (isinstance(twins, bool) or not isinstance(twins, int) or twins < 1):
        raise UsageProblem(
            f"twins={twins!r} must be a whole number of at least 1: the random-weights control is mandatory"
        )
    return twins
