"""From the last residual to the logits: the final norm, the head, and every scaling, soft-cap and vocabulary cut on
the way.

The steps are read off the recorded forward pass and replayed on any residual, so that ``unembed`` does what the model
does and nothing twice. Whether the replay is right is not assumed here but proven (``proof.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .flow import MATMULS, Flow, op_name
from .graph import Call, Location, Op, Ref
from .residual import is_norm, tensor_named
from .taps import Tap, located_tap, output_tap, put, take

_POINTWISE = frozenset(
    {"mul", "div", "add", "sub", "tanh", "neg", "pow", "clamp", "rsqrt", "sigmoid", "_to_copy", "slice", "narrow"}
)


@dataclass(frozen=True)
class ModuleStep:
    """Call a module on the running value, with its other arguments as they were when recorded."""

    path: str
    where: Location
    out: Location

    def describe(self) -> str:
        return self.path


@dataclass(frozen=True)
class OpStep:
    """Repeat a recorded pointwise operation on the running value, its other arguments constant."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    hole: int

    def describe(self) -> str:
        constants = [
            f"{item:g}"
            for position, item in enumerate(self.args)
            if position != self.hole and isinstance(item, int | float)
        ]
        name = str(self.func).split(".")[1]
        return f"{name}({', '.join(constants)})" if constants else name


@dataclass(frozen=True)
class LinearStep:
    """A matrix product with a parameter, applied by function and not by module."""

    parameter: str
    transposed: bool

    def describe(self) -> str:
        return f"linear({self.parameter})"


Step = ModuleStep | OpStep | LinearStep


@dataclass(frozen=True)
class Readout:
    """The steps from ``blocks.{last}.resid_post`` to the logits, in order; ``final_norm`` is where the normed
    residual comes out.
    """

    steps: tuple[Step, ...]
    final_norm: Tap | None
    head: Tap | None

    def describe(self) -> str:
        return " -> ".join(step.describe() for step in self.steps)


def find_readout(flow: Flow, last_block: Call, residual: int, logits: int) -> Readout | str:
    """The readout, or the reason why the path from the logits back to the residual could not be followed."""
    recording = flow.recording
    steps: list[Step] = []
    final_norm: Tap | None = None
    head: Tap | None = None
    value = logits
    while not flow.same(value, residual):
        call = _call_that_made(flow, value, last_block)
        if call is not None:
            taken = _input_on_path(flow, call, residual)
            if taken is None:
                return f"{call.path} makes the logits from something else than the last block's output"
            where, source = taken
            out = next(at for at, handed in call.outputs.items() if flow.same(handed, value))
            norm = is_norm(flow, call, source, value)
            steps.append(ModuleStep(call.path, where, out))
            if norm and final_norm is None:
                final_norm = output_tap(recording, call, call.outputs[out])
            if head is None and not norm:
                head = located_tap(recording, call, "input", where)
            value = source
            continue
        op = flow.op(value)
        if op is None:
            return "the logits do not depend on the last block's output"
        if (source_ := flow.passes_through(op)) is not None:
            value = source_
            continue
        step = _op_step(flow, op, residual)
        if step is None:
            return f"the operation {op_name(op)} between the last block and the logits cannot be replayed"
        steps.append(step[0])
        value = step[1]
    steps.reverse()
    return Readout(tuple(steps), final_norm, head)


def _call_that_made(flow: Flow, value: int, last_block: Call) -> Call | None:
    """The outermost call after the last block that hands out the value (and did not merely pass it on)."""
    recording = flow.recording
    op = flow.op(value)
    if op is None:
        return None
    found = None
    for index in recording.ancestors(op.call):
        call = recording.calls[index]
        if call.first_op < last_block.end_op or recording.inside(last_block.index, index):
            break
        if any(flow.same(handed, value) for handed in call.outputs.values()):
            found = call
    return found


def _input_on_path(flow: Flow, call: Call, residual: int) -> tuple[Location, int] | None:
    for where, value in call.inputs.items():
        if flow.recording.dtypes[value].is_floating_point and flow.depends(value, residual):
            return where, value
    return None


def _op_step(flow: Flow, op: Op, residual: int) -> tuple[Step, int] | None:
    name = op_name(op)
    on_path = [
        (position, arg.value)
        for position, arg in enumerate(op.args)
        if isinstance(arg, Ref) and flow.depends(arg.value, residual)
    ]
    if len(on_path) != 1 or len(op.outputs) != 1:
        return None
    hole, source = on_path[0]
    if name in MATMULS:
        other = next(
            (arg.value for position, arg in enumerate(op.args) if isinstance(arg, Ref) and position != hole), None
        )
        found = None if other is None or len(op.inputs) != 2 else _parameter(flow, other)
        return None if found is None else (LinearStep(*found), source)
    if name not in _POINTWISE:
        return None
    args: list[Any] = []
    for position, arg in enumerate(op.args):
        if position == hole:
            args.append(None)
        elif isinstance(arg, Ref):
            leaf = flow.recording.leaves.get(arg.value)
            if leaf is None:
                return None
            args.append(leaf.detach().clone())
        else:
            args.append(arg)
    functional = op.func
    if op.name.split(".")[1].endswith("_"):
        functional = getattr(getattr(torch.ops.aten, name), op.name.split(".")[2])
    return OpStep(functional, tuple(args), dict(op.kwargs), hole), source


def _parameter(flow: Flow, value: int) -> tuple[str, bool] | None:
    transposed = False
    while (op := flow.op(value)) is not None:
        if op_name(op) in ("t", "transpose", "permute"):
            transposed = not transposed
            value = op.inputs[0]
        elif (source := flow.passes_through(op)) is not None:
            value = source
        else:
            return None
    leaf = flow.recording.leaves.get(value)
    name = None if leaf is None else flow.name_of(leaf)
    return None if name is None else (name, transposed)


def replay(root: torch.nn.Module, readout: Readout, residual: torch.Tensor) -> torch.Tensor:
    """Logits of a residual (batch, pos, d_model), by the recorded steps."""
    value = residual
    for step in readout.steps:
        if isinstance(step, ModuleStep):
            module = root.get_submodule(step.path)
            out = module(value) if step.where == (0,) else module(**put({step.where[0]: None}, step.where, value))
            value = take(out, step.out)
        elif isinstance(step, LinearStep):
            weight = tensor_named(root, step.parameter)
            value = value @ (weight.T if step.transposed else weight).to(value.device)
        else:
            args = list(step.args)
            args[step.hole] = value
            args = [arg.to(value.device) if isinstance(arg, torch.Tensor) else arg for arg in args]
            value = step.func(*args, **step.kwargs)
    return value
