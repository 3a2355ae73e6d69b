"""From the last residual to the logits: the final norm, the head, and every scaling, soft-cap and vocabulary cut on
the way.

The steps are read off the recorded forward pass and replayed on any residual, so that ``unembed`` does what the model
does and nothing twice. Whether the replay is right is not assumed here but proven (``proof.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .flow import MATMULS, Flow, op_name
from .graph import Call, Location, Op, Ref, tensors_in
from .placement import where_used
from .residual import is_norm
from .taps import Tap, located_tap, output_tap, take

_POINTWISE = {
    "mul",
    "div",
    "add",
    "sub",
    "neg",
    "tanh",
    "sigmoid",
    "exp",
    "pow",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "clamp",
}
_POINTWISE |= {"reciprocal", "clamp_min", "maximum", "minimum", "abs", "where", "_to_copy"}
_REPEATABLE = _POINTWISE | {"mean", "sum", "amax", "slice", "select", "stack", "cat", "permute", "transpose"}
"""Operations whose recorded arguments do not depend on how many positions there are."""


@dataclass(frozen=True)
class Named:
    """A parameter or buffer, looked up anew in the module at hand."""

    name: str


@dataclass(frozen=True)
class ModuleStep:
    """Call a module; ``out`` is where its result holds ``value``."""

    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Location
    value: int

    def describe(self) -> str:
        return self.path


@dataclass(frozen=True)
class OpStep:
    """Repeat a recorded operation."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: int

    def describe(self) -> str:
        constants = [f"{item:g}" for item in self.args if isinstance(item, int | float)]
        name = str(self.func).split(".")[1]
        return f"{name}({', '.join(constants)})" if constants else name


@dataclass(frozen=True)
class LinearStep:
    """A matrix product with a parameter, applied by a function and not by a module."""

    source: int
    parameter: str
    transposed: bool
    value: int

    def describe(self) -> str:
        return f"linear({self.parameter})"


Step = ModuleStep | OpStep | LinearStep


@dataclass(frozen=True)
class Readout:
    """The steps from the last block's residual (value ``start``) to the logits (value ``end``), in order.

    ``final_norm`` is where the normed residual comes out, ``head`` where the unembedding takes its input.
    """

    start: int
    end: int
    steps: tuple[Step, ...]
    final_norm: Tap | None
    head: Tap | None

    def describe(self) -> str:
        return " -> ".join(step.describe() for step in self.steps) or "identity"


def find_readout(flow: Flow, last_block: Call, residual: int, logits: int) -> Readout | str:
    """The readout, or the reason why the logits could not be followed back to the residual."""
    search = _Search(flow, last_block, residual)
    try:
        end = search.need(logits)
    except _NotRepeatable as reason:
        return str(reason)
    if not search.steps and end != residual:
        return "the logits do not depend on the last block's output"
    modules = [step for step in search.steps if isinstance(step, ModuleStep)]
    norms = [step for step in modules if search.norm_taps.get(step.value)]
    heads = [step for step in modules if search.head_taps.get(step.value)]
    return Readout(
        start=residual,
        end=end,
        steps=tuple(search.steps),
        final_norm=search.norm_taps[norms[-1].value] if norms else None,
        head=search.head_taps[heads[-1].value] if heads and heads[-1] is modules[-1] else None,
    )


class _NotRepeatable(Exception):
    """Why the path from the residual to the logits cannot be replayed."""


class _Search:
    """Collects, backwards from the logits, every step that is needed; ``steps`` ends up in order of computation."""

    def __init__(self, flow: Flow, last_block: Call, residual: int) -> None:
        self.flow, self.last_block, self.residual = flow, last_block, residual
        self.known: dict[int, int] = {}
        self.steps: list[Step] = []
        self.norm_taps: dict[int, Tap | None] = {}
        self.head_taps: dict[int, Tap | None] = {}

    def need(self, value: int) -> int:
        """The value under which a step provides ``value`` (copies and reshapes are not steps)."""
        if value not in self.known:
            self.known[value] = self.find(value)
        return self.known[value]

    def find(self, value: int) -> int:
        flow = self.flow
        if value == self.residual:
            return value
        call = self.call_that_made(value)
        if call is not None:
            return self.add_module(value, call)
        op = flow.op(value)
        if op is None:
            raise _NotRepeatable("the logits do not depend on the last block's output")
        if op.index < self.last_block.end_op:
            raise _NotRepeatable("the logits are made of more than the last block's output")
        if (source := flow.passes_through(op)) is not None:
            return self.cast(value, source, op) if self.changes_dtype(value, source) else self.need(source)
        if op_name(op) in MATMULS:
            return self.add_linear(value, op)
        if op_name(op) not in _REPEATABLE or len(op.outputs) != 1:
            raise _NotRepeatable(
                f"the operation {op_name(op)} between the last block and the logits cannot be replayed"
            )
        args, kwargs = self.arguments(op.args), self.arguments(op.kwargs)
        func = op.func
        if op.name.split(".")[1].endswith("_"):  # in place: repeat it out of place
            func = getattr(getattr(torch.ops.aten, op_name(op)), op.name.split(".")[2])
        self.steps.append(OpStep(func, args, kwargs, value))
        return value

    def changes_dtype(self, value: int, source: int) -> bool:
        return self.flow.recording.dtypes[value] != self.flow.recording.dtypes[source]

    def cast(self, value: int, source: int, op: Op) -> int:
        """A change of number format: a residual kept in float32 goes to the head in that of the weights."""
        to = {"dtype": self.flow.recording.dtypes[value]}
        self.steps.append(OpStep(op.func, (Ref(self.need(source)),), to, value))
        return value

    def add_module(self, value: int, call: Call) -> int:
        out = next(at for at, handed in call.outputs.items() if self.flow.same(handed, value))
        args, kwargs = self.arguments(call.args), self.arguments(call.kwargs)
        self.steps.append(ModuleStep(call.path, args, kwargs, out, value))
        floats = {at: taken for at, taken in call.inputs.items() if self.flow.recording.dtypes[taken].is_floating_point}
        if len(floats) == 1:
            (where, source), handed = next(iter(floats.items())), call.outputs[out]
            if is_norm(self.flow, call, source, handed):
                self.norm_taps[value] = output_tap(self.flow.recording, call, handed)
            else:
                self.head_taps[value] = located_tap(self.flow.recording, call, "input", where)
        return value

    def add_linear(self, value: int, op: Op) -> int:
        refs = [arg.value for arg in op.args if isinstance(arg, Ref)]
        weights = [(arg, found) for arg in refs if (found := self.parameter(arg)) is not None]
        if len(refs) != 2 or len(weights) != 1:
            raise _NotRepeatable("a matrix product between the last block and the logits is not one with a parameter")
        (weight, (name, transposed)) = weights[0]
        source = self.need(next(arg for arg in refs if arg != weight))
        self.steps.append(LinearStep(source, name, transposed, value))
        return value

    def arguments(self, tree: Any) -> Any:
        """Recorded arguments with every tensor as a known value, a named parameter, or a constant."""
        if isinstance(tree, Ref):
            if self.flow.depends(tree.value, self.residual):
                return Ref(self.need(tree.value))
            return self.constant(tree.value)
        if isinstance(tree, tuple | list):
            return type(tree)(self.arguments(part) for part in tree)
        if isinstance(tree, Mapping):
            return {key: self.arguments(part) for key, part in tree.items()}
        return tree

    def constant(self, value: int) -> Any:
        origin = self.flow.origin(value)
        leaf = self.flow.recording.leaves.get(origin)
        if leaf is None:
            raise _NotRepeatable("the logits are made of more than the last block's output")
        name = self.flow.name_of(leaf)
        return Named(name) if name is not None else leaf.detach().clone()

    def call_that_made(self, value: int) -> Call | None:
        """The outermost call after the last block that hands the value out (and did not merely pass it on)."""
        recording = self.flow.recording
        op = self.flow.op(value)
        found = None
        for index in recording.ancestors(op.call if op is not None else -1):
            call = recording.calls[index]
            if call.first_op < self.last_block.end_op or recording.inside(self.last_block.index, index):
                break
            if any(self.flow.same(handed, value) for handed in call.outputs.values()):
                found = call
        return found

    def parameter(self, value: int) -> tuple[str, bool] | None:
        transposed = False
        while (op := self.flow.op(value)) is not None:
            if op_name(op) in ("t", "transpose", "permute"):
                transposed = not transposed
                value = op.inputs[0]
            elif (source := self.flow.passes_through(op)) is not None:
                value = source
            else:
                return None
        leaf = self.flow.recording.leaves.get(value)
        name = None if leaf is None else self.flow.name_of(leaf)
        return None if name is None else (name, transposed)


def replay(root: torch.nn.Module, readout: Readout, residual: torch.Tensor) -> torch.Tensor:
    """Logits of a residual, laid out as the last block hands it out, by the recorded steps."""
    values = {readout.start: residual}

    def fill(tree: Any) -> Any:
        if isinstance(tree, Ref):
            return values[tree.value]
        if isinstance(tree, Named):
            return where_used(root, tree.name)
        if isinstance(tree, torch.Tensor):
            return tree.to(residual.device)
        if isinstance(tree, tuple | list):
            return type(tree)(fill(part) for part in tree)
        return {key: fill(part) for key, part in tree.items()} if isinstance(tree, dict) else tree

    for step in readout.steps:
        if isinstance(step, ModuleStep):
            out = root.get_submodule(step.path)(*fill(step.args), **fill(step.kwargs))
            values[step.value] = take(out, step.out)
        elif isinstance(step, LinearStep):
            weight = where_used(root, step.parameter)
            values[step.value] = values[step.source].to(weight.device) @ (weight.T if step.transposed else weight)
        else:
            args = fill(step.args)
            device = next((tensor.device for _, tensor in tensors_in(args)), residual.device)
            args = tuple(arg.to(device) if isinstance(arg, torch.Tensor) else arg for arg in args)
            values[step.value] = step.func(*args, **fill(step.kwargs))
    return values[readout.end]
