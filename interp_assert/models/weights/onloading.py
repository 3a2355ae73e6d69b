"""Weights that come and go during a pass: what accelerate does around a module's forward is not the model's doing.

Bringing a weight and moving arguments are torch functions too, and make tensors that the model never computed with, at
addresses that are free again after the call. For the span of a pass the hooks that accelerate put on the modules are
therefore wrapped. No function tap counts what they do. While a pass is recorded, the weight that was brought is told
to the recorder by its name, a tensor that was moved to another device counts as the same value, and nothing of a weight
is kept once its call is over, so that recording needs no more memory than running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch

from .placement import brought, is_spread, offloading, put_away

__all__ = ["Recorder", "unseen", "watched"]


class Recorder(Protocol):
    """What a recording in progress is told."""

    def looking_away(self) -> AbstractContextManager[None]:
        """Operations in this span are not the model's."""

    def lend(self, name: str, tensor: torch.Tensor) -> None:
        """The parameter or buffer ``name`` is this tensor until it is taken back."""

    def take_back(self, tensor: torch.Tensor, kept: Any) -> None:
        """The tensor's memory is given up, unless a tensor in ``kept`` lives in it."""

    def moved(self, before: Any, after: Any) -> None:
        """The tensors of the second tree hold what those of the first one hold."""


@contextmanager
def unseen(root: torch.nn.Module) -> Iterator[None]:
    """No torch function mode sees what accelerate's hooks do in this span.

    If the pass breaks off, the offloaded weights that it has left in place are taken away: accelerate does so after a
    module's forward, but not when that raises.
    """
    if not is_spread(root):
        yield
        return
    with _wrapped(root, lambda _, hook: _Unseen(hook)):
        try:
            yield
        except BaseException:
            put_away(root)
            raise


@contextmanager
def watched(root: torch.nn.Module, recorder: Recorder) -> Iterator[None]:
    """Tell ``recorder`` what accelerate's hooks do in this span."""
    with _wrapped(root, lambda path, hook: _Watched(path, hook, recorder)):
        yield


@contextmanager
def _wrapped(root: torch.nn.Module, wrap: Callable[[str, Any], Any]) -> Iterator[None]:
    hooked = [(path, part, vars(part)["_hf_hook"]) for path, part in root.named_modules() if "_hf_hook" in vars(part)]
    try:
        for path, part, hook in hooked:
            part._hf_hook = wrap(path, hook)
        yield
    finally:
        for _, part, hook in hooked:
            part._hf_hook = hook


class _Unseen:
    """Stands in for a hook of accelerate's and does what it does."""

    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hook, name)

    def pre_forward(self, module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Bring weights and arguments to where the module computes."""
        with torch._C.DisableTorchFunction():
            return self._hook.pre_forward(module, *args, **kwargs)

    def post_forward(self, module: torch.nn.Module, output: Any) -> Any:
        """Take away what was brought."""
        with torch._C.DisableTorchFunction():
            return self._hook.post_forward(module, output)


class _Watched(_Unseen):
    """And tells the recorder."""

    def __init__(self, path: str, hook: Any, recorder: Recorder) -> None:
        super().__init__(hook)
        self._prefix = f"{path}." if path else ""
        self._recorder = recorder
        self._lent: list[torch.Tensor] = []

    def pre_forward(self, module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():
            with self._recorder.looking_away():
                moved = self._hook.pre_forward(module, *args, **kwargs)
            self._recorder.moved((args, kwargs), moved)
            for hook in offloading(module):
                for name, tensor in brought(module, hook).items():
                    self._recorder.lend(self._prefix + name, tensor)
                    self._lent.append(tensor)
        return moved

    def post_forward(self, module: torch.nn.Module, output: Any) -> Any:
        with torch._C.DisableTorchFunction():
            with self._recorder.looking_away():
                moved = self._hook.post_forward(module, output)
            self._recorder.moved(output, moved)
            while self._lent:
                self._recorder.take_back(self._lent.pop(), output)
        return moved
