"""What a module without a transformers config shows of itself on a few ids: that it is a deterministic language model,
how many ids it knows and how long a sequence it takes.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ...errors import InterpError, ModelRefused, UsageProblem
from .. import calling
from ..families import family_of
from ..not_finite import why_not_finite
from ..taps.tap import take
from ..weights.placement import home

__all__ = ["Shown", "probe"]

LENGTH = 11
ROWS = 2
_STATED_LENGTHS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "block_size", "context_length")


@dataclass(frozen=True)
class Shown:
    """``max_positions`` is None where nothing limits the length."""

    vocab_size: int
    max_positions: int | None


@dataclass(frozen=True)
class _Lookup:
    """One table that a pass looked rows up in: how many it has, and the index tensor, or None for its first rows."""

    rows: int
    index: torch.Tensor | None


class _Lookups(TorchFunctionMode):
    """Lives for one pass: notes embeddings, and stored tables of which a slice as long as the sequence was taken."""

    def __init__(self, module: torch.nn.Module, length: int) -> None:
        super().__init__()
        self.stored = {tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())}
        self.length = length
        self.seen: list[_Lookup] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.nn.functional.embedding:
            self.seen.append(_Lookup(args[1].shape[0], args[0].detach().clone()))
        elif func is torch.Tensor.__getitem__ and isinstance(out, torch.Tensor) and args[0].data_ptr() in self.stored:
            self.seen += [_Lookup(size, None) for size in self.cut(args[0], args[1])]
        return out

    def cut(self, table: torch.Tensor, index: Any) -> Iterator[int]:
        """The sizes of the axes of which ``[..., :length, ...]`` was taken."""
        parts = index if isinstance(index, tuple) else (index,)
        if any(part is Ellipsis or part is None or isinstance(part, torch.Tensor) for part in parts):
            return
        for size, part in zip(table.shape, parts, strict=False):
            if isinstance(part, slice) and part.start in (None, 0) and part.stop == self.length < size:
                yield size


def probe(module: torch.nn.Module, *, vocab_size: int | None, max_positions: int | None) -> Shown:
    """Run ``module`` on a few ids. What the caller or the family states is checked, the rest is found: the vocabulary
    from the embedding and the logits, the longest sequence from its config, or from the tables that are indexed by
    position.

    Raises ModelRefused for a module that cannot be called on ids, gives no logits or is not deterministic, or whose
    vocabulary is not clear; UsageProblem for a ``vocab_size`` or ``max_positions`` that cannot be.
    """
    family = family_of(module)
    stated = vocab_size if vocab_size is not None else family.vocab_size
    limit = max_positions if max_positions is not None else family.max_positions
    for name, value in (("vocab_size", stated), ("max_positions", limit)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UsageProblem(f"{name} is a whole number of at least 1, not {value!r}")
    limit = limit if limit is not None else _config_length(module)
    length = LENGTH if limit is None else min(LENGTH, limit)
    zeros = torch.zeros((ROWS, length), dtype=torch.long, device=home(module))
    first, lookups = _watched(module, zeros)
    again, _ = _watched(module, zeros)
    _, others = _watched(module, zeros + 1)
    tables, positions = _sort(lookups, others, length)
    where = calling.logits_location(first, ROWS, length, stated=family.logits, width=stated or _only(tables))
    logits = take(first, where)
    wrong = why_not_finite(module, zeros, logits, ", of ids that are all 0")
    if wrong is not None:
        raise ModelRefused(f"{type(module).__name__} {wrong}")
    _refuse_noise(module, logits, take(again, where))
    size = _vocabulary(module, logits.shape[-1], tables, stated)
    _watched(module, zeros + (size - 1))  # the last id must be one
    return Shown(size, limit if limit is not None else min(positions, default=None))


def _watched(module: torch.nn.Module, ids: torch.Tensor) -> tuple[Any, list[_Lookup]]:
    try:
        with torch.no_grad(), _Lookups(module, ids.shape[1]) as lookups:
            return calling.forward(module, ids), lookups.seen
    except InterpError:
        raise
    except Exception as error:  # whatever the user's code raises when it is given ids
        raise ModelRefused(
            f"{type(module).__name__} cannot be called on token ids alone: on ids {tuple(ids.shape)} from "
            f"{int(ids.min())} to {int(ids.max())} it raised {type(error).__name__}: {_first_line(error)}"
            f"{_place(error)}. Its forward is called as module(ids), ids (batch, pos) int64; state another way with "
            f"register_family({type(module).__name__}): Family(forward=lambda module, ids: ...), and vocab_size= "
            "where ids have to be smaller"
        ) from error


def _place(error: BaseException) -> str:
    """The line of the user's code that raised: the innermost one that is not torch's or ours."""
    ours = (Path(torch.__file__).parent, Path(__file__).parents[2])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not any(place in Path(frame.filename).parents for place in ours):
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    return ""


def _sort(lookups: list[_Lookup], others: list[_Lookup], length: int) -> tuple[list[int], list[int]]:
    """The rows of tables looked up by token, and the positions that those looked up by position have room for.

    An index that changes with the ids is of tokens; one that grows by one along the sequence is of positions.
    """
    tokens, positions = [], []
    for one, other in zip(lookups, others, strict=False):
        if one.index is None:
            positions.append(one.rows)
        elif one.index.shape[-1:] == (length,):
            if other.index is not None and not torch.equal(one.index, other.index):
                tokens.append(one.rows)
            elif length > 1 and bool((one.index.diff(dim=-1) == 1).all()):
                positions.append(one.rows - int(one.index.min()))
    return tokens, positions


def _only(tables: list[int]) -> int | None:
    return min(tables, default=None)


def _refuse_noise(module: torch.nn.Module, one: torch.Tensor, other: torch.Tensor) -> None:
    if torch.equal(one, other):
        return
    difference = float((one - other).abs().max())
    raise ModelRefused(
        f"{type(module).__name__} is not deterministic: two passes over the same ids in eval mode differ by "
        f"{difference:.2g}. Use dropout that follows eval() (nn.Dropout, not F.dropout with training=True), and no "
        "sampling or state kept from pass to pass in forward"
    )


def _vocabulary(module: torch.nn.Module, width: int, tables: list[int], stated: int | None) -> int:
    rows = _only(tables)
    if stated is not None:
        most = width if rows is None else min(width, rows)
        if stated > most:
            what = f"its logits have {width} entries" + ("" if rows is None else f" and its embedding {rows} rows")
            raise UsageProblem(f"vocab_size={stated} is too large for this {type(module).__name__}: {what}")
        return stated
    if rows is not None and rows != width:
        raise ModelRefused(
            f"the vocabulary of this {type(module).__name__} is not clear: its embedding has {rows} rows, and what it "
            f"returns has {width} entries for each position. If these are logits, pass vocab_size={min(rows, width)}; "
            "if not (a hidden state), wrap the module that has the language-model head"
        )
    return width


def _config_length(module: torch.nn.Module) -> int | None:
    """The context length that the module's own config states, in whatever form it keeps one."""
    config = getattr(module, "config", None)
    for key in _STATED_LENGTHS:
        value = config.get(key) if isinstance(config, dict) else getattr(config, key, None)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "(no message)")
