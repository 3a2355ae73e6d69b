"""A measurement as a profile knows it: its name, its column, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..models import Model
    from .figure import Figure, Request

__all__ = ["ProfiledMeasure"]


@dataclass(frozen=True)
class ProfiledMeasure:
    """A measurement as a profile knows it.

    Attributes:
        name: id of the check, ``circuits/induction``.
        quantity: heading of its (first) column.
        figures: measures a model; the number of figures is the same for every model. What a model lacks is raised
            (NotApplicable, SiteNotAvailable, ContextTooShort, a prompt pool that is too small) and becomes a blank.
        about: what its number is, in a line; for the legend.
        costly: measured only if it is named.
        needs_base: measured against another model: left out where there is none.
    """

    name: str
    quantity: str
    figures: Callable[[Model, Request], Sequence[Figure]]
    about: str = ""
    costly: bool = False
    needs_base: bool = False
