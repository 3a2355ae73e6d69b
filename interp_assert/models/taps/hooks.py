"""Taps at module boundaries, installed for the span of one pass: forward hooks that read and replace tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from .tap import Tap, Watch

__all__ = ["installed"]


@contextmanager
def installed(
    module: torch.nn.Module, watches: Sequence[Watch], rows: tuple[int, int], after: Callable[[], None]
) -> Iterator[None]:
    """Hooks for all ``watches`` of module taps; they come off whatever happens.

    ``rows`` is (batch, pos) of the pass; ``after`` is called whenever the watches of one module call have run.
    """
    places: dict[tuple[str, str], list[Watch]] = {}
    for watch in watches:
        assert isinstance(watch.tap, Tap)
        places.setdefault((watch.tap.path, watch.tap.side), []).append(watch)
    handles = []
    try:
        for (path, side), here in places.items():
            handles.append(_hook(module, path, side, here, rows, after))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(
    root: torch.nn.Module,
    path: str,
    side: str,
    watches: Sequence[Watch],
    rows: tuple[int, int],
    after: Callable[[], None],
) -> Any:
    count = 0

    def act(tree: Any, watch: Watch) -> Any:
        tap = watch.tap
        assert isinstance(tap, Tap)
        tensor = tap.take(tree)
        site = tap.to_site(tensor, rows, root)
        edited = watch.action(site)
        return tree if edited is None else tap.put(tree, tap.from_site(edited, site, tensor, root))

    def run(_module: torch.nn.Module, args: Any, kwargs: Any, out: Any = None) -> Any:
        nonlocal count
        nth, count = count, count + 1
        with torch._C.DisableTorchFunction():  # what is done here is not the model's: function taps must not count it
            for watch in watches:
                assert isinstance(watch.tap, Tap)
                if watch.tap.nth is not None and watch.tap.nth != nth:
                    continue
                if side == "output":
                    out = act(out, watch)
                elif isinstance(watch.tap.where[0], int):
                    args = act(args, watch)
                else:
                    kwargs = act(kwargs, watch)
        after()
        return out if side == "output" else (args, kwargs)

    target = root.get_submodule(path)
    if side == "output":
        return target.register_forward_hook(run, with_kwargs=True)
    return target.register_forward_pre_hook(run, with_kwargs=True)
