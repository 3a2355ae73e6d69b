"""What kind of component an addend is, judged by what was computed for it."""

from __future__ import annotations

from collections.abc import Iterable

from .families.forms import forms_of
from .flow import Flow, op_name
from .graph import Op

_SOFTMAX = frozenset({"_softmax", "softmax", "_safe_softmax"})
_ONE_AXIS = frozenset({"select", "split", "split_with_sizes", "unbind", "chunk", "narrow", "slice", "cumsum", "flip"})


def kind_of(flow: Flow, cone: Iterable[Op]) -> str:
    """``attn`` | ``ssm`` (any recurrence over positions) | ``mixer`` (convolution) | ``mlp`` (position by position)."""
    cone = list(cone)
    recording = flow.recording
    attended, recurred = attention_ops(flow, cone), _recurrent_ops(flow, cone)
    if attended or recurred:  # where one feeds the other (zamba), the later one makes the addend
        last = max((op.index for op in attended), default=-1)
        return "attn" if last > max(recurred, default=-1) else "ssm"
    around = {index for op in cone for index in recording.ancestors(op.call)}
    if any(hasattr(recording.calls[index].module, "A_log") for index in around):
        return "ssm"
    if any(_walks_positions(flow, op) for op in cone):
        return "ssm"
    if any("conv" in op_name(op) for op in cone):
        return "mixer"
    return "mlp"


def attention_ops(flow: Flow, cone: Iterable[Op]) -> list[Op]:
    """The operations that make attention probabilities: a softmax over keys for every query, or fused attention."""
    found = []
    for op in cone:
        name = op_name(op)
        if "scaled_dot_product" in name:
            found.append(op)
        elif name in _SOFTMAX:
            shape = flow.recording.shapes[op.outputs[0]]
            batch, length = flow.recording.rows
            over_heads = len(shape) == 4 or (len(shape) == 3 and shape[0] % batch == 0 and shape[0] > batch)
            if over_heads and shape[-2] == length <= shape[-1]:
                found.append(op)
    return found


def _recurrent_ops(flow: Flow, cone: Iterable[Op]) -> list[int]:
    """The operations made inside kernels that carry out a recurrence."""
    kernels = [
        kernel for kernel in flow.recording.kernels if any("state" in form.sites for form in forms_of(kernel.name))
    ]
    return [op.index for op in cone if any(kernel.first_op <= op.index < kernel.end_op for kernel in kernels)]


def _walks_positions(flow: Flow, op: Op) -> bool:
    """Whether an operation picks out, splits or accumulates along the axis of positions."""
    if op_name(op) not in _ONE_AXIS or not op.inputs:
        return False
    shape, out = flow.recording.shapes[op.inputs[0]], flow.recording.shapes[op.outputs[0]]
    position = 2 if op_name(op).startswith("split") or op_name(op) == "chunk" else 1
    axis = op.args[position] if len(op.args) > position and isinstance(op.args[position], int) else 0
    if not shape or not -len(shape) <= axis < len(shape) or shape[axis] != flow.length:
        return False
    return op_name(op) == "cumsum" or out != shape
