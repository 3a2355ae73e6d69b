"""Activations at the last position of every row, read once: measurements over the same texts share their passes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteMeasurement, UsageProblem
from .passes import check_context, in_passes

if TYPE_CHECKING:
    import torch

    from ..models import Model

__all__ = ["KEPT_BYTES", "fingerprint", "forget", "read_last"]

Floats = NDArray[np.float32]

KEPT_BYTES = 256 * 2**20
"""what is remembered for one model handle; what was asked for longest ago goes first"""

_SAMPLED = 16
"""elements of each parameter that tell whether weights were changed behind torch's back"""


class _Memory:
    """Activations of one model handle by (rows, site), as long as its weights are what they were."""

    def __init__(self) -> None:
        self.weights = ""
        self.kept: OrderedDict[tuple[str, str], Floats] = OrderedDict()

    def recall(self, key: tuple[str, str]) -> Floats | None:
        if key in self.kept:
            self.kept.move_to_end(key)
        return self.kept.get(key)

    def keep(self, key: tuple[str, str], values: Floats) -> None:
        if values.nbytes > KEPT_BYTES:
            return
        self.kept[key] = values
        while sum(array.nbytes for array in self.kept.values()) > KEPT_BYTES:
            self.kept.popitem(last=False)


_memories: WeakKeyDictionary[Model, _Memory] = WeakKeyDictionary()


def read_last(
    model: Model, rows: Sequence[Sequence[int]], sites: str | Sequence[str], *, names: Sequence[str] | None = None
) -> dict[str, Floats]:
    """{site: float32 (rows, width)}: the value at the last position of each row, axes after the position made one.

    ``sites`` as ``trace`` takes them (``blocks.*.resid_post``); the result has their full names, in order. What was
    read before with this handle, of the same rows, is remembered: read-only, up to ``KEPT_BYTES``, until the weights
    change, and not while hooks of the user's are on, which may do another thing each time. What is missing is read in
    one go, each row once, never padded. Besides the result, memory does not grow with the number of rows.

    Raises UsageProblem for no rows, SiteNotAvailable, ContextTooShort, NonFiniteMeasurement naming the site and the
    row (by ``names``, if given).
    """
    if len(rows) == 0:
        raise UsageProblem("no rows of token ids to read activations of; give at least one text")
    check_context(model, max(len(row) for row in rows), "use shorter texts")
    wanted = model.anatomy.resolve(sites)
    memory = _Memory() if _hooks(model.module) else _memories.setdefault(model, _Memory())
    weights = fingerprint(model.module)
    if memory.weights != weights:
        memory.kept.clear()
        memory.weights = weights
    digest = _digest(rows)
    found = {site: memory.recall((digest, site)) for site in wanted}
    missing = [site for site, values in found.items() if values is None]
    if missing:
        for site, values in _read(model, rows, missing).items():
            _check_finite(model, site, values, names)
            values.flags.writeable = False
            memory.keep((digest, site), values)
            found[site] = values
    return {site: values for site, values in found.items() if values is not None}


def forget(model: Model) -> None:
    """Drop what is remembered for this handle."""
    _memories.pop(model, None)


def _read(model: Model, rows: Sequence[Sequence[int]], sites: list[str]) -> dict[str, Floats]:
    results: dict[str, Floats] = {}
    # a row carries its place behind its ids, so that values go where they belong whatever the batches
    placed = [(*row, place) for place, row in enumerate(rows)]

    def run(batch: torch.Tensor) -> None:
        trace = model.trace(batch[:, :-1], sites, positions=[-1], logits=False)
        places = batch[:, -1].cpu().numpy()
        for site in sites:
            values = trace[site].flatten(1).float().cpu().numpy()
            if site not in results:
                results[site] = np.empty((len(rows), values.shape[1]), dtype=np.float32)
            results[site][places] = values

    in_passes(model, placed, run, kept_per_row=len(sites) * int(model.anatomy.d_model))
    return results


def _check_finite(model: Model, site: str, values: Floats, names: Sequence[str] | None) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        where = f"row {bad[0]}" if names is None else repr(names[bad[0]])
        raise NonFiniteMeasurement(
            f"{model.id}: {site} is not finite at the last position of {where} ({bad.size} of {len(values)} rows); "
            "a model that overflows cannot be judged, try --interp-dtype float32"
        )


def _digest(rows: Sequence[Sequence[int]]) -> str:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.array([int(token) for row in rows for token in row], dtype=np.int64)
    return hashlib.sha256(lengths.tobytes() + b"|" + ids.tobytes()).hexdigest()


def fingerprint(module: torch.nn.Module) -> str:
    """Changes when weights are changed, in place or not, and when hooks are put on or off; costs no full read."""
    state = hashlib.sha256()
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        state.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}{tensor.device}{tensor._version}".encode())
        state.update(_sampled(tensor))
    state.update(repr((module.training, _hooks(module))).encode())
    return state.hexdigest()


def _hooks(module: torch.nn.Module) -> list[int]:
    """The numbers of the hooks that are on, which torch never gives to two; not those that transformers leaves on a
    model that was once asked for its hidden states, for they look on.
    """
    return [
        number
        for part in module.modules()
        for number, hook in (*part._forward_hooks.items(), *part._forward_pre_hooks.items())
        if not str(getattr(hook, "__module__", "")).startswith("transformers.")
    ]


def _sampled(tensor: Any) -> bytes:
    if tensor.is_meta or tensor.numel() == 0:  # offloaded: its version has to do
        return b""
    flat = tensor.detach().reshape(-1)
    picked = flat[:: max(1, flat.numel() // _SAMPLED)]
    return bytes(repr(picked.tolist()), "ascii")
