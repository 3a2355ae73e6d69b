"""The history: every run's verdicts and measurements in one database, each of them once."""

from __future__ import annotations

from .appending import Appended, append
from .database import DEFAULT, History, open_history
from .reading import ClaimHistory, Point, known_models, read_claims

__all__ = [
    "DEFAULT",
    "Appended",
    "ClaimHistory",
    "History",
    "Point",
    "append",
    "known_models",
    "open_history",
    "read_claims",
]
