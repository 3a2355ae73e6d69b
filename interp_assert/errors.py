"""Everything that can be wrong with what a user gave us, as one family of exceptions.

Each message is a single clear statement: the value, the limit and the remedy. ``UsageProblem`` marks what can be
known before any measurement starts; the pytest plugin turns it into a usage error (exit status 4).
"""

from __future__ import annotations

__all__ = [
    "BadEdit",
    "ContextTooShort",
    "EmptyBatch",
    "InterpError",
    "ModelBroken",
    "ModelChanged",
    "ModelNotFound",
    "ModelRefused",
    "NoBaseline",
    "NonFiniteMeasurement",
    "OutOfMemory",
    "SiteNotAvailable",
    "TokenOutOfRange",
    "UnprovenAnatomy",
    "UsageProblem",
]


class InterpError(Exception):
    """Base of every error that interp-assert raises on purpose."""


class UsageProblem(InterpError):
    """The request cannot be carried out as it was written: wrong id, option value or combination."""


class ModelNotFound(UsageProblem):
    """No model under this id: unknown zoo name, missing directory, missing or unreachable repository."""


class ModelRefused(UsageProblem):
    """The model exists but will not be opened: pickled weights, remote code, not a causal language model."""


class ModelBroken(UsageProblem):
    """The files are there but damaged: truncated or non-finite weights, hash mismatch, unreadable config."""


class ModelChanged(InterpError):
    """The weight files changed between loading and reporting, so the verdicts may speak of two models."""


class NoBaseline(InterpError):
    """A check could not be held against a baseline where that was due."""


class ContextTooShort(InterpError):
    """The prompts are longer than the model's context."""


class UnprovenAnatomy(InterpError):
    """An identity that the anatomy promises does not hold; names the identity, the block and the difference."""


class SiteNotAvailable(InterpError, KeyError):
    """The model has no such site; names those that it has."""

    __str__ = Exception.__str__  # KeyError would print the repr of the message


class BadEdit(InterpError, ValueError):
    """An edit returned a value of the wrong shape, type or device."""


class TokenOutOfRange(InterpError, ValueError):
    """Token ids outside the model's vocabulary."""


class EmptyBatch(InterpError, ValueError):
    """A batch without rows or without positions."""


class OutOfMemory(InterpError, MemoryError):
    """Even a batch of one row does not fit in memory."""


class NonFiniteMeasurement(InterpError, ValueError):
    """A measured value is NaN or infinite: never a success, never averaged away."""
