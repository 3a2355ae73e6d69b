"""What kind of component an addend is, judged by what was computed for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..families.forms import forms_of
from ..recording.flow import MATMULS, Flow, op_name
from ..recording.graph import Op

_SOFTMAX = frozenset({"_softmax", "softmax", "_safe_softmax"})
_BENDS = frozenset({"silu", "gelu", "relu", "sigmoid", "tanh", "softplus", "hardswish", "leaky_relu", "elu", "clamp"})
_ONE_AXIS = frozenset({"select", "split", "split_with_sizes", "unbind", "chunk", "narrow", "slice", "cumsum", "flip"})


def kind_of(flow: Flow, cone: Iterable[Op]) -> str:
    """``attn`` | ``ssm`` (any recurrence over positions) | ``mixer`` (convolution) | ``mlp`` (position by position)."""
    cone = list(cone)
    recording = flow.recording
    attended, recurred = [op for op in cone if _attends(flow, op)], _recurrent_ops(flow, cone)
    if attended or recurred:  # where one feeds the other (zamba), the later one makes the addend
        last = max((op.index for op in attended), default=-1)
        return "attn" if last > max(recurred, default=-1) else "ssm"
    around = {index for op in cone for index in recording.ancestors(op.call)}
    if any(hasattr(recording.calls[index].module, "A_log") for index in around):
        return "ssm"
    if any(_walks_positions(flow, op) for op in cone):
        return "ssm"
    return "mixer" if _convolves_inside(cone) else "mlp"


def is_mlp(flow: Flow, ops: Iterable[Op]) -> bool:
    """Whether operations are an MLP: a matrix product, something that bends, and a matrix product of that."""
    depth: dict[int, int] = {}  # by value: 0 nothing yet, 1 a product, 2 bent after it, 3 a product of that
    for op in ops:
        most = max((depth.get(value, 0) for value in op.inputs), default=0)
        if op_name(op) in MATMULS:
            most = 3 if most >= 2 else 1
        elif op_name(op) in _BENDS and most == 1:
            most = 2
        depth.update(dict.fromkeys(op.outputs, most))
    return 3 in depth.values()


def attention_ops(flow: Flow, cone: Iterable[Op]) -> list[Op]:
    """The operations that make attention probabilities: a softmax over keys for every query, or fused attention."""
    return [op for op in cone if op_name(op) != "logsumexp" and _attends(flow, op)]


def _attends(flow: Flow, op: Op) -> bool:
    name, shapes, batch = op_name(op), flow.recording.shapes, flow.recording.rows[0]
    lengths = (flow.length, flow.recording.rows[1])
    if "scaled_dot_product" in name:
        return shapes[op.inputs[0]][-2] in lengths
    if name == "logsumexp":  # the denominator of a softmax over chunks of positions: batch, head, chunk, query, key
        return len(shapes[op.inputs[0]]) == 5 and shapes[op.inputs[0]][0] == batch
    if name not in _SOFTMAX:
        return False
    shape = shapes[op.outputs[0]]
    over_heads = len(shape) in (4, 5) or (len(shape) == 3 and shape[0] % batch == 0 and shape[0] > batch)
    return over_heads and shape[-2] in lengths and shape[-2] <= shape[-1]


def _convolves_inside(cone: Sequence[Op]) -> bool:
    """Whether a convolution stands between two matrix products; one that only smooths what goes in or out is not the
    component.
    """
    products = [op.index for op in cone if op_name(op) in MATMULS]
    found = [op.index for op in cone if "conv" in op_name(op)]
    return bool(found) and (not products or any(min(products) < at < max(products) for at in found))


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
