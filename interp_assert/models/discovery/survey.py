"""How the residual stream of a recorded pass is laid out: which positions are the prompt's, and how many streams run
side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ..recording.flow import Flow, op_name
from ..recording.graph import Op, Recording
from ..recording.layouts import ONE_STREAM, Grid, Streams
from ..recording.residual import Add, residual_chain
from .blocks import Stage

AXIS = "stream"
"""The name of the axis of residual streams in sites."""


def survey(flow: Flow, stages: Sequence[Stage], logits: int) -> Grid:
    """The grid of a model, read off the residual stream that its last block hands out.

    Streams may have an axis of their own (anywhere), be tensors of their own, or be laid end to end on the axis of
    features or on that of positions.
    """
    recording = flow.recording
    batch, length = recording.rows
    shape = recording.shapes[stages[-1].after]
    beside = len(stages[-1].exit.beside)
    if beside:
        streams = Streams(1 + beside, AXIS)
        return Grid(recording.rows, shape[1], _start(flow, stages, shape[1], logits), streams, width=shape[-1])
    if len(shape) == 4:
        first = shape[1:3] == recording.rows
        return Grid(recording.rows, length, None, Streams(shape[0] if first else shape[2], AXIS), width=shape[-1])
    if len(shape) != 3 or shape[:2] == (length, batch):
        return Grid(recording.rows, length, width=shape[-1])
    start = _start(flow, stages, shape[1], logits)
    if start is None and shape[1] > length and shape[1] % length == 0:
        return Grid(recording.rows, shape[1], None, Streams(shape[1] // length, AXIS), "pos", shape[-1])
    count = _on_features(flow, stages[0])
    streams = Streams(count, AXIS) if count > 1 else ONE_STREAM
    return Grid(recording.rows, shape[1], start, streams, "feature" if count > 1 else None, shape[-1])


def d_model_of(recording: Recording, stages: Sequence[Stage], grid: Grid) -> int:
    """The width of one residual stream."""
    width = recording.shapes[stages[-1].after][-1]
    return width // grid.streams.count if grid.merged == "feature" else width


def _start(flow: Flow, stages: Sequence[Stage], positions: int, logits: int) -> int | None:
    """Where the prompt's positions begin, for a model that runs on more: seen where it cuts them out on the way to the
    logits.
    """
    length = flow.recording.rows[1]
    if positions == length:
        return None
    for op in flow.recording.ops[stages[-1].end_op :]:
        cut = cut_positions(flow.recording, op, positions, length)
        if cut is not None and flow.depends(op.inputs[0], stages[-1].after) and flow.depends(logits, op.outputs[0]):
            return cut
    return None


def cut_positions(recording: Recording, op: Op, positions: int, length: int) -> int | None:
    """The first position that a slice from ``positions`` to ``length`` of them keeps; None for any other operation."""
    if op_name(op) != "slice" or len(op.args) < 3:
        return None
    axis, start = op.args[1], op.args[2]
    shape, kept = recording.shapes[op.inputs[0]], recording.shapes[op.outputs[0]]
    return int(start or 0) if (shape[axis], kept[axis]) == (positions, length) and positions != length else None


def _on_features(flow: Flow, stage: Stage) -> int:
    """How many streams lie end to end on the axis of features: an addend was one vector for each position, spread over
    an axis of streams by a product and then laid out so. 1 where none was.
    """
    shapes = flow.recording.shapes
    after = shapes[stage.after]
    counts = set()
    for step in residual_chain(flow, stage.call, stage.before, stage.after) or []:
        for side in step.sides if isinstance(step, Add) else ():
            value = flow.origin(side.value)
            op, made = flow.op(value), shapes[value]
            apart = len(made) == 4 and made[:2] == after[:2] and prod(made[2:]) == after[2]
            if apart and op is not None and op_name(op) == "mul":
                counts.add(made[2])
    return counts.pop() if len(counts) == 1 else 1
