"""Finding the readout: every step from the last residual to the logits, followed back through the recorded pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ..readout import LinearStep, ModuleStep, Named, OpStep, Readout, ReshapeStep, Size, Step
from ..recording.flow import MATMULS, Flow, op_name
from ..recording.graph import Call, Op, Ref
from ..recording.residual import is_norm
from ..taps.tap import Tap, located_tap, output_tap
from .blocks import Stage
from .survey import cut_positions

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
_BY_AXIS = {"mean", "sum", "amax", "slice", "select", "stack", "cat", "permute", "transpose"}
_REPEATABLE = _POINTWISE | _BY_AXIS
"""Operations whose recorded arguments do not depend on how many positions there are."""


def find_readout(flow: Flow, stages: Sequence[Stage], logits: int) -> Readout | str:
    """The readout, or the reason why the logits could not be followed back to the residual alone."""
    last = stages[-1]
    return _follow(_Search(flow, last.end_op, last.exit.values(), stages), logits)


def find_tail(flow: Flow, stages: Sequence[Stage], logits: int) -> Readout | None:
    """The way from the last norm after the blocks to the logits, where that from the residual cannot be followed."""
    recording = flow.recording
    end_op = stages[-1].end_op
    for call in reversed(recording.calls):
        floats = [value for value in call.inputs.values() if recording.dtypes[value].is_floating_point]
        if call.first_op < end_op or len(floats) != 1 or not call.outputs:
            continue
        value = next(iter(call.outputs.values()))
        if is_norm(flow, call, floats[0], value) and flow.depends(logits, value):
            tail = _follow(_Search(flow, call.end_op, (value,), stages), logits)
            return None if isinstance(tail, str) else replace(tail, final_norm=output_tap(recording, call, value))
    return None


def _follow(search: _Search, logits: int) -> Readout | str:
    search.logits = logits
    try:
        end = search.need(logits)
    except _NotRepeatable as reason:
        return str(reason)
    if not search.steps and end not in search.residuals:
        return "the logits do not depend on the last block's output"
    modules = [step for step in search.steps if isinstance(step, ModuleStep)]
    norms = [step for step in modules if search.norm_taps.get(step.value)]
    heads = [step for step in modules if search.head_taps.get(step.value)]
    return Readout(
        starts=search.residuals,
        end=end,
        steps=tuple(search.steps),
        final_norm=search.norm_taps[norms[-1].value] if norms else None,
        head=search.head_taps[heads[-1].value] if heads and heads[-1] is modules[-1] else None,
    )


class _NotRepeatable(Exception):
    """Why the path from the residual to the logits cannot be replayed."""


class _Search:
    """Collects, backwards from the logits, every step that is needed; ``steps`` ends up in order of computation."""

    def __init__(self, flow: Flow, end_op: int, residuals: tuple[int, ...], stages: Sequence[Stage]) -> None:
        self.flow, self.end_op, self.residuals, self.stages = flow, end_op, residuals, stages
        self.logits = -1
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
        if value in self.residuals:
            return value
        call = self.call_that_made(value)
        if call is not None:
            return self.add_module(value, call)
        op = flow.op(value)
        if op is None:
            raise _NotRepeatable("the logits do not depend on the last block's output")
        if op.index < self.end_op:
            raise _NotRepeatable(self.more_than_the_last())
        if self.cuts_the_prompt(op):
            return self.need(op.inputs[0])
        if (source := flow.passes_through(op)) is not None:
            return self.cast(value, source, op) if self.changes_dtype(value, source) else self.need(source)
        if op_name(op) in MATMULS:
            return self.add_linear(value, op)
        if op_name(op) not in _REPEATABLE or len(op.outputs) != 1:
            raise _NotRepeatable(
                f"the operation {op_name(op)} between the last block and the logits cannot be replayed"
            )
        by_axis = op_name(op) in _BY_AXIS
        args, kwargs = self.arguments(op.args, shaped=by_axis), self.arguments(op.kwargs)
        if op_name(op) == "slice":
            args = self.by_lengths(op, args)
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
        args, kwargs = self.arguments(call.args, shaped=True), self.arguments(call.kwargs, shaped=True)
        self.steps.append(ModuleStep(call.path, args, kwargs, out, value))
        floats = {at: taken for at, taken in call.inputs.items() if self.flow.recording.dtypes[taken].is_floating_point}
        if len(floats) == 1:
            (where, source), handed = next(iter(floats.items())), call.outputs[out]
            if is_norm(self.flow, call, source, handed):
                self.norm_taps[value] = output_tap(self.flow.recording, call, handed)
            elif len(self.flow.recording.shapes[source]) <= 3:  # else no vector for each position
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

    def arguments(self, tree: Any, *, shaped: bool = False) -> Any:
        """Recorded arguments with every tensor as a known value, a named parameter, or a constant; ``shaped``: with the
        axes that it had.
        """
        if isinstance(tree, Ref):
            if any(self.flow.depends(tree.value, residual) for residual in self.residuals):
                return Ref(self.shaped(tree.value) if shaped else self.need(tree.value))
            return self.constant(tree.value)
        if isinstance(tree, tuple | list):
            return type(tree)(self.arguments(part, shaped=shaped) for part in tree)
        if isinstance(tree, Mapping):
            return {key: self.arguments(part, shaped=shaped) for key, part in tree.items()}
        return tree

    def shaped(self, value: int) -> int:
        """As ``need``, with the number of axes that the value had: operations count their axes."""
        shapes = self.flow.recording.shapes
        provided = self.need(value)
        if len(shapes[provided]) == len(shapes[value]):
            return provided
        batch, length = self.flow.recording.rows
        sizes: list[int | Size] = []
        for axis, size in enumerate(shapes[value]):
            if axis == 0 and size == batch:
                sizes.append(Size("batch"))
            elif axis == 0 and size == batch * length:
                sizes.append(Size("rows"))
            else:
                sizes.append(Size("pos", size // length) if size % length == 0 else size)
        self.steps.append(ReshapeStep(provided, tuple(sizes), value))
        self.known[value] = value
        return value

    def by_lengths(self, op: Op, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Where streams lie end to end on the axis of positions, a slice counts in lengths of the prompt."""
        grid, length = self.flow.recording.grid, self.flow.recording.rows[1]
        shape = self.flow.recording.shapes[op.inputs[0]]
        if grid is None or grid.merged != "pos" or shape[args[1]] % length or args[1] in (-1, len(shape) - 1):
            return args
        ends = (
            Size("pos", at // length) if at and at % length == 0 and at <= shape[args[1]] else at for at in args[2:]
        )
        return (*args[:2], *ends)

    def constant(self, value: int) -> Any:
        origin = self.flow.origin(value)
        leaf = self.flow.recording.leaves.get(origin)
        if leaf is None:
            raise _NotRepeatable(self.more_than_the_last())
        name = self.flow.name_of(leaf)
        return Named(name) if name is not None else leaf.detach().clone()

    def cuts_the_prompt(self, op: Op) -> bool:
        """Whether an operation only takes away the positions that a residual has beyond those of the prompt."""
        grid = self.flow.recording.grid
        if grid is None or grid.start is None:
            return False
        return cut_positions(self.flow.recording, op, grid.positions, grid.rows[1]) == grid.start

    def more_than_the_last(self) -> str:
        """Why no function of the last residual gives the logits, naming the earlier residuals that go in as well."""
        earlier: dict[int, str] = {}
        for index, stage in enumerate(self.stages):
            earlier.setdefault(stage.before, f"blocks.{index}.resid_pre")
            if stage is not self.stages[-1]:
                earlier[stage.after] = f"blocks.{index}.resid_post"
        stop = {*earlier, *self.residuals}
        met: set[int] = set()
        todo, seen = [self.logits], set()
        while todo:
            value = todo.pop()
            if value in seen:
                continue
            seen.add(value)
            origin = self.flow.origin(value)
            hit = next((at for at in (value, origin) if at in stop), None)
            if hit is not None:
                met.add(hit)
                continue
            op = self.flow.op(value)
            todo += op.inputs if op is not None else ()
        names = sorted(earlier[value] for value in met if value in earlier)
        also = f": {', '.join(names)} go in as well" if names else ""
        return f"the logits are made of more than the last block's output{also}"

    def call_that_made(self, value: int) -> Call | None:
        """The outermost call after the last block that hands the value out (and did not merely pass it on)."""
        recording = self.flow.recording
        op = self.flow.op(value)
        found = None
        for index in recording.ancestors(op.call if op is not None else -1):
            call = recording.calls[index]
            if call.first_op < self.end_op:
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
