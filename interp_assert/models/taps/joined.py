"""Taps at several modules whose outputs are one thing: a projection that is written as several matrices.

No single hook sees them together. The last one does, if nobody has used the earlier ones yet: what an edit makes of
them is then written into the tensors that were handed out before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ..recording.flow import op_name
from ..recording.graph import Call, Recording
from .tap import Tap, Watch, output_tap

__all__ = ["JoinedTap", "installed", "join"]

_VIEWS = frozenset(
    {"view", "_unsafe_view", "_reshape_alias", "transpose", "t", "permute", "unsqueeze", "squeeze", "expand", "slice"}
    | {"split", "split_with_sizes", "chunk", "unbind", "select", "alias", "detach", "unflatten"}
)


@dataclass(frozen=True)
class JoinedTap:
    """The outputs of the ``parts``, in order of execution, side by side on the last axis."""

    parts: tuple[Tap, ...]

    @property
    def path(self) -> str:
        return self.parts[-1].path

    @property
    def nth(self) -> int | None:
        return self.parts[-1].nth


def join(recording: Recording, calls: Sequence[Call]) -> JoinedTap | None:
    """The tap at the outputs of ``calls``, in order of execution; None where one is used before the last is there."""
    parts = []
    for call in calls:
        value = next(iter(call.outputs.values()))
        tap = output_tap(recording, call, value)
        if tap is None or _used(recording, value, call.end_op, calls[-1].end_op):
            return None
        parts.append(tap)
    return JoinedTap(tuple(parts))


def _used(recording: Recording, value: int, first: int, end: int) -> bool:
    """Whether an operation from ``first`` up to ``end`` computes with a value, or with a view of it."""
    views = {value}
    for op in recording.ops[first:end]:
        if views.intersection(op.inputs):
            if op_name(op) not in _VIEWS:
                return True
            views.update(op.outputs)
    return False


@contextmanager
def installed(
    module: torch.nn.Module, watches: Sequence[Watch], rows: tuple[int, int], after: Callable[[], None]
) -> Iterator[None]:
    """Hooks on the parts of all ``watches``; they come off whatever happens.

    ``rows`` is (batch, pos) of the pass; ``after`` is called whenever the watches of one place have run.
    """
    places: dict[JoinedTap, list[Watch]] = {}
    for watch in watches:
        assert isinstance(watch.tap, JoinedTap)
        places.setdefault(watch.tap, []).append(watch)
    with ExitStack() as stack:
        for tap, here in places.items():
            for handle in _follow(module, tap, here, rows, after):
                stack.callback(handle.remove)
        yield


def _follow(
    root: torch.nn.Module,
    tap: JoinedTap,
    watches: Sequence[Watch],
    rows: tuple[int, int],
    after: Callable[[], None],
) -> Iterator[Any]:
    met: dict[Tap, torch.Tensor] = {}

    def act() -> None:
        sites = [part.to_site(met[part], rows, root) for part in tap.parts]
        whole = torch.cat(sites, -1)
        edited = whole
        for watch in watches:
            changed = watch.action(edited)
            edited = edited if changed is None else changed
        if edited is not whole:
            pieces = edited.split([site.shape[-1] for site in sites], -1)
            for part, piece, site in zip(tap.parts, pieces, sites, strict=True):
                met[part].copy_(part.from_site(piece, site, met[part], root))

    runs = dict.fromkeys(tap.parts, 0)
    for part in tap.parts:

        def see(_module: torch.nn.Module, _args: Any, out: Any, part: Tap = part) -> None:
            nth = runs[part]
            runs[part] += 1
            if part.nth is not None and part.nth != nth:
                return
            with torch._C.DisableTorchFunction():  # not the model's own calls: function taps must not count them
                met[part] = part.take(out)
                if part is tap.parts[-1]:
                    act()
                    met.clear()
            if part is tap.parts[-1]:
                after()

        yield root.get_submodule(part.path).register_forward_hook(see)
