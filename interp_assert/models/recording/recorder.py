"""Recording one forward pass: every operation, every module call and the values that went through them.

Two modes of torch watch the pass: one below autograd sees single operations, one above it the functions that the model
calls. What is recorded is described in ``graph``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ..weights.onloading import watched
from .fused import call_openly, over_an_axis
from .graph import Call, FunctionCall, KernelCall, Op, Recording, Ref, tensors_in

__all__ = ["record"]

Noted = Callable[[Any, Any, Any], None]
Observed = Callable[[torch.nn.Module, Callable[[str], Noted]], AbstractContextManager[None]]
"""See ``kernels.observed``."""

_ALIASES = frozenset({"aten.alias.default", "aten.detach.default", "aten.lift_fresh.default", "aten.view_as.default"})
_VIEWS = frozenset({"aten.view.default", "aten.slice.Tensor", "aten.expand.default", "aten._reshape_alias.default"})


WRITTEN_THROUGH_VIEW = "view.written_through_view.default"


def _extent(tensor: torch.Tensor) -> tuple[int, int]:
    """The bytes of its storage that a tensor spans, gaps included."""
    start = int(tensor.storage_offset()) * tensor.element_size()
    reach = sum((int(size) - 1) * int(step) for size, step in zip(tensor.shape, tensor.stride(), strict=True)) + 1
    return start, start + reach * tensor.element_size() if tensor.numel() else start


def _memory(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _key(tensor: torch.Tensor) -> tuple[Any, ...]:
    return (tensor.data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


class _Recorder(TorchDispatchMode):
    """Lives for one forward pass: names each tensor's content, and keeps the tensors alive so that no address is used
    twice.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording
        self.stack: list[int] = []
        self.names: dict[tuple[Any, ...], int] = {}
        self.alive: dict[int, list[torch.Tensor]] = {}
        self.counts: dict[str, int] = {}
        self.away = False
        self.weights: dict[str, int] = {}
        self.holders: dict[int, int] = {}
        self.sharing: dict[int, dict[tuple[Any, ...], torch.Tensor]] = {}

    def name(self, tensor: torch.Tensor) -> int:
        """The value that this tensor holds now; a tensor never seen before is a leaf (parameter, buffer, input,
        constant).
        """
        value = self.names.get(_key(tensor))
        if value is None:
            value = self.fresh(tensor)
            self.recording.leaves[value] = tensor
        return value

    def fresh(self, tensor: torch.Tensor) -> int:
        value = len(self.recording.shapes)
        key = _key(tensor)
        self.names[key] = value
        self.sharing.setdefault(_memory(tensor), {})[key] = tensor
        self.recording.shapes[value] = tuple(tensor.shape)
        self.recording.dtypes[value] = tensor.dtype
        self.keep(tensor)
        return value

    def keep(self, tensor: torch.Tensor) -> None:
        self.alive.setdefault(_memory(tensor), []).append(tensor)

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """See ``onloading.Recorder``, as for the three that follow."""
        self.away = True
        try:
            yield
        finally:
            self.away = False

    def lend(self, name: str, tensor: torch.Tensor) -> None:
        memory = _memory(tensor)
        self.holders[memory] = self.holders.get(memory, 0) + 1
        if name not in self.weights:
            self.weights[name] = self.fresh(tensor)
            with self.looking_away():
                stand_in = torch.empty_like(tensor, device="meta") if tensor.numel() > 1 else tensor.clone()
            self.recording.leaves[self.weights[name]] = stand_in
            self.recording.lent[id(stand_in)] = name
        self.names[_key(tensor)] = self.weights[name]
        self.keep(tensor)

    def take_back(self, tensor: torch.Tensor, kept: Any) -> None:
        memory = _memory(tensor)
        self.holders[memory] -= 1
        if self.holders[memory] or any(_memory(other) == memory for _, other in tensors_in(kept)):
            return
        for seen in (*self.alive.pop(memory, ()), *self.sharing.pop(memory, {}).values()):
            self.names.pop(_key(seen), None)

    def moved(self, before: Any, after: Any) -> None:
        for (_, old), (_, new) in zip(tensors_in(before), tensors_in(after), strict=True):
            if new is not old:
                self.names[_key(new)] = self.name(old)
                self.keep(new)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.away:
            return func(*args, **kwargs)
        inputs: list[int] = []
        kept_args, kept_kwargs = self.refer(args, inputs), self.refer(kwargs, inputs)
        out = func(*args, **kwargs)
        name = str(func)
        produced = [tensor for _, tensor in tensors_in(out)]
        if len(produced) == 1 and inputs and self._same_content(name, inputs[0], produced[0]):
            self.names[_key(produced[0])] = inputs[0]
            self.keep(produced[0])
            return out
        op = Op(
            index=len(self.recording.ops),
            name=name,
            func=func,
            args=kept_args,
            kwargs=kept_kwargs,
            inputs=tuple(inputs),
            outputs=tuple(self.fresh(tensor) for tensor in produced),
            call=self.stack[-1] if self.stack else -1,
        )
        self.add(op)
        if name.split(".")[1].endswith("_") and isinstance(args[0], torch.Tensor):
            self.renew_views(args[0], op)
        return out

    def add(self, op: Op) -> None:
        self.recording.ops.append(op)
        for value in op.outputs:
            self.recording.producer[value] = op

    def renew_views(self, written: torch.Tensor, write: Op) -> None:
        """After a tensor was written in place, every other view of that memory holds something new as well: a mixture
        of what it held and of what was written (``output[:, t] = ...`` in a loop over positions makes all of
        ``output``).
        """
        start, end = _extent(written)
        for key, view in list(self.sharing[_memory(written)].items()):
            first, last = _extent(view)
            if key == _key(written) or first >= end or last <= start:
                continue
            inputs = (self.names[key], *write.outputs)
            made = Op(
                len(self.recording.ops), WRITTEN_THROUGH_VIEW, None, (), {}, inputs, (self.fresh(view),), write.call
            )
            self.add(made)

    def refer(self, tree: Any, met: list[int]) -> Any:
        """Arguments with each tensor replaced by the value it holds; the values are also appended to ``met``."""
        if isinstance(tree, torch.Tensor):
            met.append(self.name(tree))
            return Ref(met[-1])
        if type(tree) in (tuple, list):
            return type(tree)(self.refer(part, met) for part in tree)
        return {key: self.refer(part, met) for key, part in tree.items()} if type(tree) is dict else tree

    def _same_content(self, name: str, value: int, tensor: torch.Tensor) -> bool:
        if name not in _ALIASES and name not in _VIEWS:
            return False
        return self.recording.shapes[value] == tuple(tensor.shape) and self.recording.dtypes[value] == tensor.dtype

    def enter(self, path: str, module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        nth = self.counts.get(path, 0)
        self.counts[path] = nth + 1
        call = Call(
            index=len(self.recording.calls),
            path=path,
            nth=nth,
            parent=self.stack[-1] if self.stack else -1,
            module=module,
            first_op=len(self.recording.ops),
        )
        call.inputs = {
            at: self.name(tensor) for tree in (args, kwargs) for at, tensor in tensors_in(tree) if tensor.numel()
        }
        call.args, call.kwargs = self.refer(args, []), self.refer(kwargs, [])
        self.recording.calls.append(call)
        self.stack.append(call.index)

    def leave(self, out: Any) -> None:
        call = self.recording.calls[self.stack.pop()]
        call.end_op = len(self.recording.ops)
        call.outputs = {at: self.name(tensor) for at, tensor in tensors_in(out) if tensor.numel()}

    def kernel(self, name: str) -> Noted:
        first, call = len(self.recording.ops), self.stack[-1] if self.stack else -1

        def done(args: Any, kwargs: Any, out: Any) -> None:
            with torch._C.DisableTorchFunction():
                inputs = {at: self.name(tensor) for tree in (args, kwargs) for at, tensor in tensors_in(tree)}
                outputs = {at: self.name(tensor) for at, tensor in tensors_in(out)}
            self.recording.kernels.append(KernelCall(name, call, first, len(self.recording.ops), inputs, outputs))

        return done


class _Functions(TorchFunctionMode):
    """Lives for one recorded pass: notes the calls of torch functions around the operations that they are made of."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if over_an_axis():
            return func(*args, **kwargs)
        if (opened := call_openly(self, func, args, kwargs)) is not None:
            return opened
        recorder, recording = self.recorder, self.recorder.recording
        met: list[int] = []
        kept = recorder.refer(tuple(args), met), recorder.refer(dict(kwargs), met)
        inputs = {
            at: recorder.name(tensor) for tree in (args, kwargs) for at, tensor in tensors_in(tree) if tensor.numel()
        }
        first_op = len(recording.ops)
        out = func(*args, **kwargs)
        outputs = {at: recorder.name(tensor) for at, tensor in tensors_in(out) if tensor.numel()}
        if outputs:
            call = recorder.stack[-1] if recorder.stack else -1
            made = FunctionCall(
                len(recording.functions), func, call, first_op, len(recording.ops), *kept, inputs, outputs
            )
            recording.functions.append(made)
        return out


def record(
    module: torch.nn.Module, forward: Callable[[], Any], rows: tuple[int, int], observed: Observed | None = None
) -> Recording:
    """Run ``forward`` once and record every operation and every call of ``module`` and the modules inside it, and of
    the kernels that ``observed`` tells of.

    Hooks and the recording mode are gone afterwards, whatever happens. Memory: every intermediate tensor of the pass
    stays alive until the end, so record short batches only.
    """
    recording = Recording(rows)
    recorder = _Recorder(recording)
    handles = []
    try:
        for path, part in module.named_modules():

            def before(part: torch.nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
                with torch._C.DisableTorchFunction():
                    recorder.enter(path, part, args, kwargs)

            def after(_part: torch.nn.Module, _args: Any, out: Any) -> None:
                with torch._C.DisableTorchFunction():
                    recorder.leave(out)

            handles.append(part.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(part.register_forward_hook(after))
        telling = nullcontext() if observed is None else observed(module, recorder.kernel)
        with torch.no_grad(), watched(module, recorder), _Functions(recorder), recorder, telling:
            recording.result = forward()
            recording.results = {at: recorder.name(tensor) for at, tensor in tensors_in(recording.result)}
    finally:
        for handle in handles:
            handle.remove()
    return recording
