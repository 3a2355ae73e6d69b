"""Calling a module on token ids, and finding the logits in what it returns."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import ContextTooShort, EmptyBatch, ModelRefused, TokenOutOfRange, UsageProblem
from .families import family_of
from .recording.graph import Location, tensors_in
from .weights.onloading import unseen


def forward(module: torch.nn.Module, ids: torch.Tensor, **options: Any) -> Any:
    """One forward pass over ids (batch, pos), without a key/value cache, as the module's family states or by ids alone.

    ``options`` (a mask, a cache) are passed on to a module that takes them: see ``accepts``. Raises UsageProblem for a
    module in training mode.
    """
    if module.training:
        raise UsageProblem(
            f"this {type(module).__name__} is in training mode, so its dropout would be measured too: call .eval() on "
            "it first"
        )
    stated = family_of(module).forward
    with documented_kernels(), unseen(module):
        if stated is not None:
            return stated(module, ids)
        args, kwargs = arguments(module, ids)
        return module(*args, **{**kwargs, **options})


def arguments(module: torch.nn.Module, ids: torch.Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of one pass over ids (batch, pos) where no family states how it is made."""
    options = {"use_cache": False} if accepts(module, "use_cache") else {}
    named = "input_ids" in inspect.signature(module.forward).parameters
    return ((), {"input_ids": ids, **options}) if named else ((ids,), options)


def accepts(module: torch.nn.Module, option: str) -> bool:
    """Whether a pass may be given an option: one that the module's forward names, or any where a model of transformers
    passes the rest on; none where a family states how the pass is made.
    """
    if family_of(module).forward is not None:
        return False
    accepted = inspect.signature(module.forward).parameters
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values())
    return option in accepted or (open_ended and is_transformers(module))


def is_transformers(module: torch.nn.Module) -> bool:
    """Whether a module is a model of transformers, or inherits from one."""
    return any(base.__module__.partition(".")[0] == "transformers" for base in type(module).__mro__)


@contextmanager
def documented_kernels() -> Iterator[None]:
    """torch's transformer layers take a fused path of other numbers where no module of theirs has a hook; a pass that
    is read must give the same logits as one that is not.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def logits_location(
    out: Any, batch: int, length: int, *, stated: str | int | None = None, width: int | None = None
) -> Location:
    """Where the logits (batch, pos, vocab) are in a forward pass's result: at ``stated``, or under the name ``logits``,
    or the only tensor of that shape; among several, the only one that is ``width`` wide.

    Raises ModelRefused where there are none, or several that could be them.
    """
    tensors = dict(tensors_in(out))
    fitting = {
        where: tensor
        for where, tensor in tensors.items()
        if tensor.ndim == 3 and tensor.shape[:2] == (batch, length) and tensor.is_floating_point()
    }
    if stated is not None:
        if (stated,) not in fitting:
            raise ModelRefused(
                f"the family of this model states that its logits are at {stated!r}; there are none of shape (batch, "
                f"pos, vocab) = ({batch}, {length}, vocab) there: it returns {_shapes(tensors) or type(out).__name__}"
            )
        return (stated,)
    named = getattr(out, "logits", tensors.get(("logits",)))
    if named is not None:
        fitting = {where: tensor for where, tensor in fitting.items() if tensor is named}
    if len(fitting) > 1 and width is not None:
        fitting = {where: tensor for where, tensor in fitting.items() if tensor.shape[-1] == width} or fitting
    if len(fitting) == 1:
        return next(iter(fitting))
    what = _shapes(tensors) or f"{type(out).__name__}, in which no tensor was found"
    if fitting:
        raise ModelRefused(
            f"several tensors that the model returns could be its logits ({what}): say which, "
            "register_family(...): Family(logits=key or index)"
        )
    raise ModelRefused(
        f"the model returns no logits (batch, pos, vocab) for every position of ids {(batch, length)}: it returns "
        f"{what}. It is not a causal language model, or it makes them when asked otherwise: "
        "register_family(...): Family(forward=lambda module, ids: ...)"
    )


def _shapes(tensors: dict[Location, torch.Tensor]) -> str:
    named = (f"{'.'.join(map(str, where)) or 'a tensor'}: {tuple(tensor.shape)}" for where, tensor in tensors.items())
    return ", ".join(itertools.islice(named, 6))


def as_ids(ids: Any, *, vocab_size: int, max_positions: int | None, device: torch.device, model: str) -> torch.Tensor:
    """Token ids as a tensor (batch, pos) on the model's device; a single row may be given without the batch axis.

    Raises EmptyBatch, TokenOutOfRange or ContextTooShort.
    """
    if isinstance(ids, str) or (isinstance(ids, list | tuple) and any(isinstance(row, str) for row in ids)):
        raise TokenOutOfRange("Token ids are integers, not text: give model.tokenizer.encode(text).")
    try:
        tensor = ids if isinstance(ids, torch.Tensor) else torch.as_tensor(ids)
    except (RuntimeError, TypeError, ValueError) as error:
        raise EmptyBatch(
            "Token ids must form a rectangle (batch, pos); rows of unequal length are never padded: "
            f"group them by length ({error})."
        ) from error
    if tensor.ndim == 1:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim != 2 or tensor.numel() == 0:
        raise EmptyBatch(
            f"Token ids have shape {tuple(tensor.shape)}; at least one row of one id is needed: (batch, pos)."
        )
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise TokenOutOfRange(f"Token ids are integers, not {tensor.dtype}.")
    low, high = int(tensor.min()), int(tensor.max())
    if low < 0 or high >= vocab_size:
        raise TokenOutOfRange(
            f"Token id {low if low < 0 else high} is outside the vocabulary of {model}: "
            f"ids go from 0 to {vocab_size - 1}."
        )
    if max_positions is not None and tensor.shape[1] > max_positions:
        raise ContextTooShort(
            f"{tensor.shape[1]} tokens do not fit into the context of {model}, which is {max_positions}; "
            "use shorter prompts."
        )
    return tensor.to(device=device, dtype=torch.long)
