"""Taps at calls of torch functions, for values that no module takes or hands out.

A matrix product of queries and keys, a softmax or a sum of residuals is a function call, which no module hook sees. A
torch function mode sees them all, above autograd, so that an edit there can be differentiated. Which call is meant is
known from the recorded pass: the ``count``-th call of that function by a module itself, not by one inside it (those
may walk over the positions in a loop, as often as there are).

Fused attention never shows its probabilities: where they are wanted, ``scaled_dot_product_attention`` is carried out
in its plain form (``fused.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch.overrides import TorchFunctionMode

from ..recording.fused import call_openly, over_an_axis, plain_attention
from ..recording.graph import FunctionCall, Location, Recording
from ..recording.layouts import AS_PRESENTED, Grid, Layout, layout_of
from ..recording.residual import ONE, Factor
from .tap import Watch, nth_call, put, take

__all__ = ["Axis", "FunctionTap", "counted", "installed", "made_by_function", "taken_by_function"]

Axis = Literal["batch", "head", "pos", "feature", "query", "key", "batch head", "one", "rows"]


@dataclass(frozen=True)
class FunctionTap:
    """A tensor that a torch function takes or makes; the site's value is ``factor * tensor`` with its axes in order.

    ``count``: which call of ``function`` it is among those that the module at ``path`` makes itself (in its ``nth``
    execution, where it runs several times). ``side`` "inside" means the probabilities of fused attention. ``axes``
    names the tensor's own axes where they are not the site's already; ``order`` is the site's. ``heads``
    is how many heads the site has: the tensor may hold each of them several times in a row (grouped keys, repeated for
    the product, which is done or not depending on the mask), or those of one group as if they were queries (which is
    done for a single query). ``layout`` is that of a tensor of residual vectors.
    """

    path: str
    function: Callable[..., Any]
    count: int
    side: Literal["input", "output", "inside"]
    where: Location
    factor: Factor = ONE
    nth: int | None = None
    axes: tuple[Axis, ...] = ()
    order: tuple[Axis, ...] = ("batch", "pos", "head", "feature")
    heads: int | None = None
    layout: Layout = AS_PRESENTED

    def to_site(self, tensor: torch.Tensor, rows: tuple[int, int], root: torch.nn.Module) -> torch.Tensor:
        """The site's value of the tensor in the model; ``rows`` is (batch, pos)."""
        if not self.axes:
            tensor = self.layout.to_site(tensor, rows)
        else:
            tensor = self._of_prompt(self._in_order(tensor, rows[0]), rows[1])
        return tensor if self.factor.is_one else tensor * self.factor.resolve(root, tensor.device)

    def from_site(
        self, edited: torch.Tensor, site: torch.Tensor, tensor: torch.Tensor, root: torch.nn.Module
    ) -> torch.Tensor:
        """The tensor to put in the model for an edited site value. An edit that changes nothing gives back its bits."""
        if not self.factor.is_one:
            change = (edited - site) / self.factor.resolve(root, site.device)
            return tensor + self._laid_out(change, torch.zeros_like(tensor))
        return self._laid_out(edited, tensor)

    @property
    def _own(self) -> tuple[str, ...]:
        """The tensor's axes, merged ones taken apart."""
        return tuple(part for axis in self.axes for part in ("batch pos" if axis == "rows" else axis).split())

    def _in_order(self, tensor: torch.Tensor, batch: int) -> torch.Tensor:
        """The tensor with the site's axes in the site's order."""
        merged = next((at for at, axis in enumerate(self.axes) if axis in ("batch head", "rows")), None)
        if merged is not None:
            tensor = tensor.unflatten(merged, (batch, -1))
        if self.heads is not None:
            tensor = self._one_each(tensor, self.heads)
        return tensor.permute(*(self._own.index(axis) for axis in self.order))

    def _of_prompt(self, whole: torch.Tensor, length: int) -> torch.Tensor:
        """What of the site's values belongs to the prompt, in a model that runs on more positions."""
        if self.layout.start is None:
            return whole
        return whole.narrow(self.order.index("pos" if "pos" in self.order else "query"), self.layout.start, length)

    def _one_each(self, tensor: torch.Tensor, heads: int) -> torch.Tensor:
        """The tensor with every head of the site once, on the axis of heads."""
        at = self._own.index("head")
        have = tensor.shape[at]
        if have < heads:  # one query: the heads of a group stand on the axis of queries, which comes next
            return tensor.flatten(at, at + 1).unsqueeze(at + 1)
        return tensor if have == heads else tensor.unflatten(at, (heads, -1)).select(at + 1, 0)

    def _laid_out(self, site: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
        if not self.axes:
            return self.layout.to_model(site, tensor)
        if self.layout.start is not None:
            whole = self._in_order(tensor, site.shape[0]).clone()
            self._of_prompt(whole, site.shape[1 if "pos" in self.order else 2]).copy_(site)
            site = whole
        site = site.permute(*(self.order.index(axis) for axis in self._own))
        if self.heads is not None:
            at = self._own.index("head")
            times = max(tensor.numel() // site.numel(), 1)
            site = site.repeat_interleave(times, at) if times > 1 else site
        return site.reshape(tensor.shape)


def counted(recording: Recording, made: FunctionCall) -> tuple[str, int | None, int]:
    """Which call of its function a recorded one is: (path of the module that made it, its execution, count)."""
    call = recording.calls[made.call]
    before = [
        other
        for other in recording.functions[: made.index]
        if other.function == made.function and other.call == call.index
    ]
    return call.path, nth_call(recording, call), len(before)


def made_by_function(recording: Recording, value: int, factor: Factor = ONE) -> FunctionTap | None:
    """The tap at which a torch function hands out ``value``, laid out as the model has it; None where none does."""
    op = recording.producer.get(value)
    made = None if op is None else recording.function_of(op)
    if made is None or made.call < 0:
        return None
    where = next((at for at, handed in made.outputs.items() if handed == value), None)
    if where is None:
        return None
    return _of_vectors(recording, made, "output", where, value, factor)


def taken_by_function(recording: Recording, value: int, factor: Factor = ONE) -> FunctionTap | None:
    """The tap at which a torch function takes ``value``: of one written into a tensor, which none hands out."""
    for made in recording.functions:
        where = next((at for at, taken in made.inputs.items() if taken == value), None)
        if where is not None and made.call >= 0:
            return _of_vectors(recording, made, "input", where, value, factor)
    return None


def _of_vectors(
    recording: Recording,
    made: FunctionCall,
    side: Literal["input", "output"],
    where: Location,
    value: int,
    factor: Factor,
) -> FunctionTap:
    path, nth, count = counted(recording, made)
    grid = recording.grid or Grid(recording.rows, recording.rows[1])
    layout = layout_of(recording.shapes[value], grid)
    return FunctionTap(path, made.function, count, side, where, factor, nth, layout=layout)


@dataclass
class _Frame:
    """One execution of a module, and how often it called each function so far; ``watches`` are those on that module."""

    nth: int
    watches: Sequence[Watch]
    counts: Counter[Any] = field(default_factory=Counter)


class _Watching(TorchFunctionMode):
    """Lives for one forward pass; ``frames`` are the modules under watch, and those in them, that are running."""

    def __init__(self, root: torch.nn.Module, rows: tuple[int, int]) -> None:
        super().__init__()
        self.root, self.rows = root, rows
        self.frames: list[_Frame] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if over_an_axis():
            return func(*args, **kwargs)
        if (opened := call_openly(self, func, args, kwargs)) is not None:
            return opened
        here = []
        for frame in self.frames[-1:]:
            count = frame.counts[func]
            frame.counts[func] += 1
            for watch in frame.watches:
                tap = watch.tap
                assert isinstance(tap, FunctionTap)
                if tap.function == func and tap.count == count and tap.nth in (None, frame.nth):
                    here.append((watch, tap))
        if not here:
            return func(*args, **kwargs)
        for watch, tap in here:
            if tap.side == "input":
                if isinstance(tap.where[0], int):
                    args = self._act(args, watch, tap)
                else:
                    kwargs = self._act(kwargs, watch, tap)
        inside = [(watch, tap) for watch, tap in here if tap.side == "inside"]
        out = plain_attention(*args, **kwargs, handler=self._handler(inside)) if inside else func(*args, **kwargs)
        for watch, tap in here:
            if tap.side == "output":
                out = self._act(out, watch, tap)
        return out

    def _act(self, tree: Any, watch: Watch, tap: FunctionTap) -> Any:
        tensor = take(tree, tap.where)
        site = tap.to_site(tensor, self.rows, self.root)
        edited = watch.action(site)
        return tree if edited is None else put(tree, tap.where, tap.from_site(edited, site, tensor, self.root))

    def _handler(self, inside: Sequence[tuple[Watch, FunctionTap]]) -> Callable[[torch.Tensor], torch.Tensor]:
        def handle(probabilities: torch.Tensor) -> torch.Tensor:
            for watch, tap in inside:
                probabilities = self._act((probabilities,), watch, tap)[0]
            return probabilities

        return handle


@contextmanager
def installed(
    module: torch.nn.Module, watches: Sequence[Watch], rows: tuple[int, int], after: Callable[[], None]
) -> Iterator[None]:
    """A function mode for all ``watches`` of function taps; it and its hooks are gone afterwards, whatever happens.

    ``rows`` is (batch, pos) of the pass; ``after`` is called whenever a module with watches has run.
    """
    by_path: dict[str, list[Watch]] = {}
    for watch in watches:
        assert isinstance(watch.tap, FunctionTap)
        by_path.setdefault(watch.tap.path, []).append(watch)
    mode = _Watching(module, rows)
    handles = []
    try:
        for name, part in module.named_modules():
            if name in by_path or any(name.startswith(f"{path}.") for path in by_path):
                handles += _follow(mode, part, by_path.get(name, ()), after)
        with mode:
            yield
    finally:
        for handle in handles:
            handle.remove()


def _follow(mode: _Watching, module: torch.nn.Module, watches: Sequence[Watch], after: Callable[[], None]) -> list[Any]:
    count = 0

    def before(_module: torch.nn.Module, _args: Any) -> None:
        nonlocal count
        mode.frames.append(_Frame(count, watches))
        count += 1

    def leave(_module: torch.nn.Module, _args: Any, _out: Any) -> None:
        mode.frames.pop()
        if watches:
            after()

    return [module.register_forward_pre_hook(before), module.register_forward_hook(leave)]
