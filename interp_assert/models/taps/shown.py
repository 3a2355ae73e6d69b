"""Residual streams that a module shows itself (``get_hidden_states``): a tap that reads them and cannot write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ...errors import ModelRefused, SiteNotAvailable
from ..families import family_of
from ..recording.graph import tensors_in
from .tap import Watch

__all__ = ["ShownTap", "installed", "streams_of"]


@dataclass(frozen=True)
class ShownTap:
    """The residual stream before the first block (``index`` 0), or after block ``index`` - 1."""

    index: int
    path: str = ""
    nth: int | None = None
    read_only: ClassVar[str] = "the module shows its residual streams (get_hidden_states) and takes none back"


def streams_of(module: torch.nn.Module) -> Callable[[torch.Tensor], Sequence[torch.Tensor]] | None:
    """How the module shows its residual streams for ids (batch, pos): as its family states, or by its own method
    ``get_hidden_states``; None if it does not.
    """
    stated = family_of(module).hidden_states
    show = getattr(module, "get_hidden_states", None) if stated is None else lambda ids: stated(module, ids)
    if not callable(show):
        return None

    def streams(ids: torch.Tensor) -> Sequence[torch.Tensor]:
        return _checked(module, show(ids), ids)

    return streams


@contextmanager
def installed(
    module: torch.nn.Module, watches: Sequence[Watch], rows: tuple[int, int], after: Callable[[], None]
) -> Iterator[None]:
    """Ask the module for its streams when a pass over ids begins, and give them to ``watches``.

    Raises SiteNotAvailable for an edit.
    """
    if any(watch.writes for watch in watches):
        raise SiteNotAvailable(f"Shown streams can be read, not written: {ShownTap.read_only}.")
    show = streams_of(module)
    assert show is not None
    asking = False

    def ask(_module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        nonlocal asking
        if asking:  # it may find its streams by a pass of its own
            return
        ids = next(tensor for _, tensor in tensors_in((args, kwargs)) if not tensor.is_floating_point())
        asking = True
        try:
            streams = show(ids)
        finally:
            asking = False
        for watch in watches:
            assert isinstance(watch.tap, ShownTap)
            watch.action(streams[watch.tap.index])
        after()

    handle = module.register_forward_pre_hook(ask, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _checked(module: torch.nn.Module, shown: Any, ids: torch.Tensor) -> Sequence[torch.Tensor]:
    streams = list(shown) if isinstance(shown, (tuple, list, torch.Tensor)) else []
    shapes = [tuple(stream.shape) if isinstance(stream, torch.Tensor) else type(stream).__name__ for stream in streams]
    rows = tuple(ids.shape)
    alike = len(set(shapes)) == 1 and isinstance(shapes[0], tuple) and len(shapes[0]) == 3 and shapes[0][:2] == rows
    if len(streams) < 2 or not alike:
        raise ModelRefused(
            f"the residual streams that {type(module).__name__} shows are {shapes or type(shown).__name__}; due is a "
            f"list of tensors (batch, pos, d_model) = ({rows[0]}, {rows[1]}, d_model): the stream before the first "
            "block, then that after each"
        )
    return streams
