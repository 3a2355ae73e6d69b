"""A model whose weights have been through a narrower number format and back: how much of a difference is rounding."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import ModelRefused
from .model import Model
from .twins import Twin, TwinSource

if TYPE_CHECKING:
    import torch

__all__ = ["rounded"]


@contextmanager
def rounded(model: Model, through: torch.dtype) -> Iterator[Model]:
    """A copy of ``model`` whose floating-point weights were converted to ``through`` and back; valid within the block.

    It computes in the model's own format, so what differs is the rounding of the weights alone.

    Raises ModelRefused if the module cannot be copied or two do not fit in memory.
    """
    import torch

    from .weights.lending import copies_well, two_fit

    if not copies_well(model.module):
        raise ModelRefused(f"{model.id} cannot be copied: a forward was put on an instance of one of its modules")
    if not two_fit(model.module):
        raise ModelRefused(f"two copies of {model.id} do not fit in memory")
    module = copy.deepcopy(model.module).requires_grad_(False).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point():
                parameter.copy_(parameter.to(through).to(parameter.dtype))
    name = str(through).removeprefix("torch.")
    id = f"{model.id}~{name}"
    digest = hashlib.sha256(f"{model.identity.sha256}\0{name}".encode()).hexdigest()
    source = TwinSource(model, module, id, {"trained": model.id, "rounded": name})
    try:
        yield Twin(model, replace(model.identity, id=id, kind="twin", sha256=digest), source)
    finally:
        source.end()
