"""One recorded forward pass: which module was called with which values, and which operation made each value.

A *value* is a number that stands for the content of a tensor at one moment. Aliases of the same content (views of the
same shape, ``detach``, dropout in eval mode) share one value; an in-place operation gives its tensor a new one. The
recording is what the anatomy is read from, so that a structure is found by what the model computes and not by what
its modules are called.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, NamedTuple

import torch

from .layouts import Grid

Location = tuple[Any, ...]
"""Where a tensor sits in a module's arguments or results: ``(0,)``, ``("hidden_states",)``, ``(1, 0)``; ``()`` is the
result itself.
"""


class Ref(NamedTuple):
    """A tensor argument of a recorded operation, replaced by the value that it held."""

    value: int


@dataclass(frozen=True)
class Op:
    """One ATen operation: arguments with tensors replaced by ``Ref``, and the module call it ran in."""

    index: int
    name: str
    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    call: int


@dataclass
class Call:
    """One execution of one module; ``args`` and ``kwargs`` are its arguments with tensors replaced by ``Ref``."""

    index: int
    path: str
    nth: int
    parent: int
    module: torch.nn.Module
    first_op: int
    end_op: int = -1
    inputs: dict[Location, int] = field(default_factory=dict)
    outputs: dict[Location, int] = field(default_factory=dict)
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FunctionCall:
    """One call of a torch function as the model wrote it (``torch.matmul``), made of one or several operations.

    ``call`` is the innermost module call it was made in; ``inputs`` and ``outputs`` say where its tensors were.
    """

    index: int
    function: Callable[..., Any]
    call: int
    first_op: int
    end_op: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: dict[Location, int]
    outputs: dict[Location, int]

    @property
    def name(self) -> str:
        """What the function is called."""
        return getattr(self.function, "__name__", str(self.function))


@dataclass(frozen=True)
class KernelCall:
    """One call of a kernel that has a form (``kernels``), within the innermost module call ``call``."""

    name: str
    call: int
    first_op: int
    end_op: int
    inputs: dict[Location, int]
    outputs: dict[Location, int]


@dataclass
class Recording:
    """Operations and module calls of one forward pass over ``rows`` = (batch, pos) ids, in order of execution.

    ``leaves`` are the tensors that the pass did not make; a weight that was only there for a call is represented by
    one without values, of which ``lent`` has the name by its ``id``.
    ``grid`` is how its residual stream is laid out, once that is known.
    """

    rows: tuple[int, int]
    grid: Grid | None = None
    ops: list[Op] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    functions: list[FunctionCall] = field(default_factory=list)
    kernels: list[KernelCall] = field(default_factory=list)
    producer: dict[int, Op] = field(default_factory=dict)
    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    dtypes: dict[int, torch.dtype] = field(default_factory=dict)
    leaves: dict[int, torch.Tensor] = field(default_factory=dict)
    lent: dict[int, str] = field(default_factory=dict)
    result: Any = None
    results: dict[Location, int] = field(default_factory=dict)

    def function_of(self, op: Op) -> FunctionCall | None:
        """The torch function that an operation was part of; None where the model called no function for it."""
        at = bisect_right(self.functions, op.index, key=lambda made: made.first_op) - 1
        while at >= 0 and self.functions[at].first_op == self.functions[at].end_op:
            at -= 1  # calls without operations of their own
        found = self.functions[at] if at >= 0 else None
        return found if found is not None and found.first_op <= op.index < found.end_op else None

    def ancestors(self, call: int) -> Iterator[int]:
        """The call itself and every call around it, innermost first; ``-1`` (no module) is not yielded."""
        while call >= 0:
            yield call
            call = self.calls[call].parent

    def inside(self, call: int, outer: int) -> bool:
        """Whether ``call`` is ``outer`` or happened within it."""
        return outer in self.ancestors(call)

    def child_towards(self, call: int, outer: int) -> int | None:
        """The direct child call of ``outer`` in which ``call`` happened; None where ``call`` is ``outer`` itself or
        outside it.
        """
        previous = None
        for ancestor in self.ancestors(call):
            if ancestor == outer:
                return previous
            previous = ancestor
        return None


def tensors_in(tree: Any, at: Location = ()) -> Iterator[tuple[Location, torch.Tensor]]:
    """Every tensor of nested tuples, lists, mappings and dataclasses with its location, in order."""
    if isinstance(tree, torch.Tensor):
        yield at, tree
    elif isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from tensors_in(item, (*at, key))
    elif isinstance(tree, tuple | list):
        for key, item in enumerate(tree):
            yield from tensors_in(item, (*at, key))
    elif is_dataclass(tree) and not isinstance(tree, type):
        for key, item in vars(tree).items():
            yield from tensors_in(item, (*at, key))
