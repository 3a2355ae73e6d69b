"""What another library must be able to do to be compared with, and how one is opened."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from ..errors import InterpError, UsageProblem

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["BACKENDS", "Backend", "BackendUnavailable", "Edit", "open_backend"]

Edit = Callable[["torch.Tensor"], "torch.Tensor"]

BACKENDS = {"transformer_lens": "lens", "nnsight": "sight"}
"""The libraries, by the name they are imported by, and our module for each."""


class BackendUnavailable(InterpError):
    """The library is not installed, or cannot open this model."""


class Backend(Protocol):
    """A model held by another library. Sites have our names and shapes."""

    name: str
    sites: tuple[str, ...]
    """Those of the model's sites that the library can name, in order of computation."""

    def capture(self, ids: torch.Tensor, sites: Sequence[str]) -> dict[str, torch.Tensor]:
        """The values of sites in one pass over ids (batch, pos)."""

    def logits(self, ids: torch.Tensor, site: str, edit: Edit) -> torch.Tensor | None:
        """Logits (batch, pos, vocab) of a pass in which ``site`` is edited; None if the library can only read it."""


def open_backend(name: str, model: Model) -> Backend:
    """The library ``name`` over a copy of the model's module.

    Raises UsageProblem for a name that is not in BACKENDS; BackendUnavailable if the library is not installed or does
    not know the architecture.
    """
    if name not in BACKENDS:
        raise UsageProblem(f"unknown library {name!r}: choose {' or '.join(BACKENDS)}")
    if find_spec(name) is None:
        extra = name.replace("_", "-")
        raise BackendUnavailable(f"{name} is not installed: pip install 'interp-assert[{extra}]'")
    from ..models.weights.placement import is_spread

    if is_spread(model.module):
        raise BackendUnavailable(f"{model.id} is spread over several places, which {name} does not know of")
    opener = import_module(f".{BACKENDS[name]}", __package__)
    backend: Backend = opener.open_copy(model, copy.deepcopy(model.module))
    return backend
