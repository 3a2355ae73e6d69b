"""The module that turns token ids into vectors."""

from __future__ import annotations

import torch

from ..recording.flow import Flow, op_name
from ..recording.graph import Call
from ..taps.tap import Tap, output_tap

_SAME_TOKENS = frozenset({"where", "masked_fill", "cat", "permute", "transpose", "t", "slice", "constant_pad_nd"})
"""Operations that put other tokens beside or in the place of some, or turn the axes, and compute nothing."""


def embedding_tap(flow: Flow, ids: torch.Tensor) -> Tap | None:
    """Where the first module that takes the token ids hands out a vector for each; of modules inside one another the
    innermost.
    """
    recording = flow.recording
    first = recording.calls[0].inputs
    tokens = next((value for value in first.values() if recording.shapes[value] == tuple(ids.shape)), None)
    found: tuple[Call, int] | None = None
    for call in recording.calls:
        if found is not None and not recording.inside(call.index, found[0].index):
            break
        taken = [value for value in call.inputs.values() if _are_tokens(flow, value, tokens)]
        made = next((value for value in call.outputs.values() if _are_vectors(flow, value, taken)), None)
        if made is not None:
            found = call, made
    return None if found is None else output_tap(recording, *found)


def _are_tokens(flow: Flow, value: int, tokens: int | None) -> bool:
    """Whether a value holds the token ids, perhaps beside others."""
    seen: set[int] = set()
    todo = [value]
    while todo:
        at = todo.pop()
        if at == tokens:
            return True
        op = flow.op(at)
        if at in seen or op is None or flow.recording.dtypes[at].is_floating_point:
            continue
        seen.add(at)
        if (source := flow.passes_through(op)) is not None:
            todo.append(source)
        elif op_name(op) in _SAME_TOKENS:
            todo.extend(op.inputs)
    return False


def _are_vectors(flow: Flow, value: int, tokens: list[int]) -> bool:
    shapes = flow.recording.shapes
    floating = flow.recording.dtypes[value].is_floating_point
    return floating and any(shapes[value][:-1] == shapes[taken] for taken in tokens)
