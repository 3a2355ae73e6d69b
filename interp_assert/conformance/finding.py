"""What a check of conformance found: which identity, at which site, how large the difference, on which input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isinf, isnan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Example", "Finding", "Seen", "Trap"]


@dataclass(frozen=True)
class Example:
    """One input of a check: ids (batch, pos) and, for the checks that need them, a position and an edit."""

    ids: torch.Tensor
    position: int | None = None
    edit: Any = None

    @property
    def rows(self) -> list[list[int]]:
        """The ids as lists."""
        return [[int(token) for token in row] for row in self.ids.tolist()]

    def arguments(self) -> Mapping[str, Any]:
        """What was drawn besides the ids, by name."""
        drawn = {"position": self.position, "edit": self.edit}
        return {name: value for name, value in drawn.items() if value is not None}

    def __repr__(self) -> str:
        return f"ids={self.rows}" + "".join(f", {name}={value!r}" for name, value in self.arguments().items())


@dataclass(frozen=True)
class Seen:
    """One comparison: how far apart two values were that an identity says are equal.

    ``what`` says it in words where the identity alone does not, ``detail`` adds what depends on the size. ``exact``
    comparisons allow no difference at all: a size of 1 then stands for something that does not happen though it should.
    """

    site: str | None
    size: float
    what: str = ""
    exact: bool = False
    detail: str = ""

    @property
    def place(self) -> tuple[str | None, str]:
        """What tells one comparison from the others of a check."""
        return self.site, self.what


@dataclass(frozen=True)
class Trap:
    """A known weakness of an implementation that an identity met: what goes wrong, by how much, what helps, and what
    was measured with that help."""

    name: str
    what: str
    size: float
    remedy: str
    with_remedy: float

    def __str__(self) -> str:
        size = "other shapes" if isinf(self.size) else f"relative difference {self.size:.2g}"
        return f"{self.name}: {self.what} ({size}; {self.remedy}: {self.with_remedy:.2g})"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check on one input.

    ``size`` is the largest difference where the identity holds, else the first in order of computation that is above
    ``limit``, found at ``site``. ``note`` says how rounding was told from a fault; ``traps`` were met on the way.
    """

    check: str
    identity: str
    size: float
    limit: float
    site: str | None
    example: Example
    what: str = ""
    note: str = ""
    traps: tuple[Trap, ...] = ()
    error: Exception | None = field(default=None, compare=False)

    @property
    def holds(self) -> bool:
        """Whether the identity holds on this input; NaN never does."""
        return self.error is None and self.size <= self.limit

    @property
    def fault(self) -> str:
        """What is wrong, in a line; empty if nothing is."""
        if self.holds:
            return ""
        if self.error is not None:
            said = str(self.error).strip().splitlines()
            return f"{self.what} {type(self.error).__name__}{': ' if said else ''}{said[0] if said else ''}"
        if isnan(self.size):
            return f"{self.what}: the values are not finite"
        if isinf(self.size) or (self.limit == 0 and self.size == 1):
            return self.what
        return f"{self.what} (relative difference {self.size:.2g}, limit {self.limit:.2g})"
