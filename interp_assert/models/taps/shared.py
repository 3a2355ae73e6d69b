"""A site at several function calls: they take or make the same tensor, or each takes a piece of its features.

Some modules call attention several times with the same queries and keys and other values. That is one attention: its
queries, keys and pattern are seen at the first call and what an edit makes of them is put in at every one; its values
are those of all calls side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from . import functions
from .functions import FunctionTap
from .tap import Watch

__all__ = ["SharedTap", "at_all", "installed"]


@dataclass(frozen=True)
class SharedTap:
    """One site at several ``calls``, in order of execution.

    Without ``ahead`` they all have the site's value. With it each has a piece of the site's features, the first call's
    first, and ``ahead`` is where the pieces of the others are made, all of them before the first call: an edit is
    given the whole, then each call its piece.
    """

    calls: tuple[FunctionTap, ...]
    ahead: tuple[FunctionTap, ...] = ()

    @property
    def path(self) -> str:
        return self.calls[0].path

    @property
    def nth(self) -> int | None:
        return self.calls[0].nth

    @property
    def side(self) -> Literal["input", "output", "inside"]:
        return self.calls[0].side


def at_all(calls: Sequence[FunctionTap]) -> FunctionTap | SharedTap:
    """The tap of a tensor that ``calls``, in order of execution, have alike."""
    apart = tuple(dict.fromkeys(calls))
    return apart[0] if len(apart) == 1 else SharedTap(apart)


@contextmanager
def installed(
    module: torch.nn.Module, watches: Sequence[Watch], rows: tuple[int, int], after: Callable[[], None]
) -> Iterator[None]:
    """See ``functions.installed``: of shared taps and of function taps in one, so that both count the same calls."""
    single: list[Watch] = []
    shared: dict[SharedTap, _Shared] = {}
    for watch in watches:
        if isinstance(watch.tap, SharedTap):
            shared.setdefault(watch.tap, _Shared(watch.tap)).watches.append(watch)
        else:
            single.append(watch)
    for one in shared.values():
        single += one.at_calls()
    with functions.installed(module, single, rows, after):
        yield


class _Shared:
    """The watches of one shared tap in one pass, and what the calls after the first are to be given."""

    def __init__(self, tap: SharedTap) -> None:
        self.tap = tap
        self.watches: list[Watch] = []
        self.edited = False
        self.others: list[torch.Tensor | None] = [None for _ in tap.calls[1:]]

    def at_calls(self) -> list[Watch]:
        """The same as watches of single calls. Those at the later calls are there even if nothing is edited: whether
        fused attention is carried out openly must not depend on that.
        """
        first, *later = self.tap.calls
        return [
            *(Watch(tap, partial(self.keep, number), writes=False) for number, tap in enumerate(self.tap.ahead)),
            *(Watch(first, partial(self.act, watch.action), watch.writes) for watch in self.watches),
            *(Watch(tap, partial(self.again, number), writes=True) for number, tap in enumerate(later)),
        ]

    def keep(self, number: int, piece: torch.Tensor) -> None:
        self.others[number] = piece

    def act(self, action: Callable[[torch.Tensor], torch.Tensor | None], site: torch.Tensor) -> torch.Tensor | None:
        if not self.tap.ahead:
            if (edited := action(site)) is None:
                return None
            # A copy: the model may write into what the first call takes or makes.
            self.others = [edited.clone() for _ in self.others]
            self.edited = True
            return edited
        others = [piece for piece in self.others if piece is not None]
        if len(others) < len(self.others):
            return None  # not made in this pass: the tracer reports that the site was not seen
        pieces = [site, *others]
        edited = action(torch.cat(pieces, -1))
        if edited is None:
            return None
        first, *self.others = edited.split([piece.shape[-1] for piece in pieces], -1)
        self.edited = True
        return first

    def again(self, number: int, _site: torch.Tensor) -> torch.Tensor | None:
        return self.others[number] if self.edited else None
