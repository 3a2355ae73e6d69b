"""What of a block's recurrent mixer can be read and written: projections, convolution, state and output."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from math import prod

import torch

from ..families.forms import forms_of
from ..recording.flow import MATMULS, Flow, op_name
from ..recording.graph import Call, KernelCall
from ..taps.joined import join
from ..taps.kernels import RESULT, KernelTap, form_for
from ..taps.tap import Route, Tap, input_tap, nth_call, output_tap

__all__ = ["NEEDED", "SITES", "find_mixer", "release", "why_none"]

SITES = ("ssm.in_proj", "ssm.x_proj", "ssm.conv", "state", "ssm.y", "ssm.gated")
"""In order of computation; ``ssm.out`` is found in the residual sum."""

NEEDED = (5, 15)
"""The transformers release from which on the mixers of Mamba and of delta nets call kernels by name."""

_MOVES = frozenset({"transpose", "permute", "t", "slice", "squeeze", "unsqueeze", "silu", "gelu", "clone", "_to_copy"})


def find_mixer(flow: Flow, block: Call) -> tuple[dict[str, Route], dict[str, str]]:
    """The sites inside the recurrent mixer of a block by name, and why the others are missing; both are empty where no
    known kernel carries out a recurrence in it.
    """
    scans = _scans(flow, block)
    if not scans:
        return {}, {}
    if len(scans) > 1:
        return {}, dict.fromkeys(SITES, f"the block runs {len(scans)} recurrences; one name would be ambiguous")
    return _Mixer(flow, block, scans[0]).found()


def why_none(block: torch.nn.Module, kinds: Sequence[str]) -> str:
    """Why a block of a recurrent model has none of these sites."""
    if "ssm" not in kinds:
        return f"the block has no recurrent mixer: it adds {' and '.join(kinds) or 'nothing'}"
    homes = {type(part).__module__ for part in block.modules()}
    if any(home.startswith("transformers.") for home in homes) and (have := release()) < NEEDED:
        return (
            f"transformers {'.'.join(map(str, have))} writes the recurrence of this mixer out in its forward; it is a "
            f"function that can be replaced from transformers {'.'.join(map(str, NEEDED))} on"
        )
    return "no kernel is known that carries out its recurrence; register_kernel states one"


def release() -> tuple[int, int]:
    """Major and minor number of the installed transformers."""
    major, minor, *_ = version("transformers").split(".")
    return int(major), int(minor)


def _scans(flow: Flow, block: Call) -> list[KernelCall]:
    """The calls of kernels that can show a state, without those made inside another one."""
    shows = [
        kernel
        for kernel in flow.recording.kernels
        if flow.recording.inside(kernel.call, block.index)
        and any("state" in form.sites for form in forms_of(kernel.name))
    ]
    return [kernel for kernel in shows if not any(_within(kernel, other) for other in shows)]


def _within(inner: KernelCall, outer: KernelCall) -> bool:
    return inner is not outer and outer.first_op <= inner.first_op and inner.end_op <= outer.end_op


class _Mixer:
    """A mixer in a recording: the module around the recurrence that also holds the projections."""

    def __init__(self, flow: Flow, block: Call, scan: KernelCall) -> None:
        self.flow, self.block, self.scan = flow, block, scan
        self.recording = flow.recording
        self.routes: dict[str, Route] = {}
        self.missing: dict[str, str] = {}
        self.call, self.linears = self._around()
        self.after = [call for call in self.linears if call.first_op >= scan.end_op]
        self.whole = scan.call == self.call.index and not self.after  # the kernel is the mixer's own forward

    def found(self) -> tuple[dict[str, Route], dict[str, str]]:
        self._state_and_result()
        self._projections()
        self._convolution()
        self._gated()
        for form in forms_of(self.scan.name):
            for site in form.sites:
                if site not in self.routes:
                    self.routes[site] = self._kernel_route(self.scan, site)
                    self.missing.pop(site, None)
        return {site: self.routes[site] for site in SITES if site in self.routes}, self.missing

    def _around(self) -> tuple[Call, list[Call]]:
        """The smallest call around the recurrence in which a matrix product of a module follows, or else the block."""
        for index in self.recording.ancestors(self.scan.call):
            linears = [call for call in self._linears(index) if call.end_op > self.scan.first_op]
            if linears or index == self.block.index:
                return self.recording.calls[index], self._linears(index)
        return self.block, self._linears(self.block.index)

    def _linears(self, around: int) -> list[Call]:
        """The calls of modules without parts that are a matrix product and not the recurrence itself."""
        products = {op.call for op in self.recording.ops if op_name(op) in MATMULS}
        return [
            call
            for call in self.recording.calls
            if call.index in products
            and call.index != around
            and self.recording.inside(call.index, around)
            and not self.recording.inside(self.scan.call, call.index)
            and not any(True for _ in call.module.children())
            and len(call.inputs) == 1
        ]

    def _kernel_route(self, kernel: KernelCall, site: str) -> Route:
        same = [
            other
            for other in self.recording.kernels
            if other.name == kernel.name and self.recording.inside(other.call, self.block.index)
        ]
        count = sorted(same, key=lambda other: other.first_op).index(kernel)
        shape = form_for(kernel.name, (site,)).shape if site == "state" else ""
        nth = nth_call(self.recording, self.block)
        return Route.at(KernelTap(self.block.path, kernel.name, count, site, nth, shape))

    def _state_and_result(self) -> None:
        self.routes["state"] = self._kernel_route(self.scan, "state")
        shown = any(RESULT in form.sites for form in forms_of(self.scan.name))
        value = next(iter(self.scan.outputs.values()), None)
        handed_out = value in self.call.outputs.values() and self.scan.call == self.call.index
        fits = value is not None and self._is_sequence(value) and len(self.recording.shapes[value]) >= 3
        if shown or (fits and not handed_out):
            self.routes[RESULT] = self._kernel_route(self.scan, RESULT)
        else:
            self.missing[RESULT] = "the recurrence hands out no result of its own (batch, pos, ...)"

    def _is_sequence(self, value: int) -> bool:
        return self.recording.shapes[value][:2] == self.recording.rows

    def _projections(self) -> None:
        """The matrix products of the mixer's input, and those of the convolution's result."""
        entry = next((value for value in self.call.inputs.values() if self._is_sequence(value)), None)
        if entry is None or self.call.index == self.block.index:
            reason = "no module of the block holds the recurrence together with projections"
            self.missing.update({"ssm.in_proj": reason, "ssm.x_proj": reason})
            return
        first, second = [], []
        for call in self.linears:
            between = self.flow.cone(next(iter(call.inputs.values())), [entry], through_matmul=False)
            names = {op_name(op) for op in between}
            if call.first_op < self.scan.first_op or self.whole:
                if any("conv" in name for name in names):
                    second.append(call)
                elif not names & MATMULS:
                    first.append(call)
        self._one("ssm.in_proj", first, "projects the mixer's input")
        if len(first) > 1 and (tap := join(self.recording, first)) is not None:
            self.routes["ssm.in_proj"] = Route.at(tap)
            del self.missing["ssm.in_proj"]
        self._one("ssm.x_proj", second, "projects the convolution's result, as Mamba-1 does to get dt, B and C")

    def _one(self, site: str, calls: list[Call], what: str) -> None:
        if len(calls) == 1:
            tap = output_tap(self.recording, calls[0], next(iter(calls[0].outputs.values())))
            if tap is not None:
                self.routes[site] = Route.at(tap)
                return
        names = ", ".join(call.path.rpartition(".")[2] for call in calls)
        self.missing[site] = (
            f"{len(calls)} modules, {names}, each {what.replace('projects', 'project')}, and some are used before "
            "all are there"
            if calls
            else f"no module {what}"
        )

    def _convolution(self) -> None:
        kernels = [
            kernel
            for kernel in self.recording.kernels
            if self.recording.inside(kernel.call, self.call.index)
            and any(form.sites == ("ssm.conv",) for form in forms_of(kernel.name))
        ]
        if len(kernels) == 1:
            self.routes["ssm.conv"] = self._kernel_route(kernels[0], "ssm.conv")
        elif kernels:
            self.missing["ssm.conv"] = f"the mixer convolves {len(kernels)} times; one name would be ambiguous"
        elif (tap := self._module_convolution()) is not None:
            self.routes["ssm.conv"] = Route.at(tap)
        else:
            self.missing["ssm.conv"] = "the mixer has no convolution"

    def _module_convolution(self) -> Tap | None:
        """Where a module takes what a convolution made, or hands out its input shifted by a position."""
        for call in self.recording.calls[self.call.index + 1 :]:
            if not self.recording.inside(call.index, self.call.index) or any(True for _ in call.module.parameters()):
                taken = [value for value in call.inputs.values() if self._is_sequence(value) and self._convolved(value)]
                if taken and self.recording.inside(call.index, self.call.index):
                    return input_tap(self.recording, call, taken[0])
                continue
            for value in call.outputs.values():
                op = self.flow.op(value)
                if op is not None and op_name(op) == "constant_pad_nd" and self._is_sequence(value):
                    return output_tap(self.recording, call, value)
        return None

    def _convolved(self, value: int) -> bool:
        op = self.flow.op(value)
        while op is not None and op_name(op) in _MOVES:
            op = self.flow.op(op.inputs[0])
        return op is not None and "convolution" in op_name(op)

    def _gated(self) -> None:
        last = (self.linears if self.whole else self.after)[-1:]
        values = [value for call in last for value in call.inputs.values()]
        if len(values) == 1 and prod(self.recording.shapes[values[0]][:-1]) == prod(self.recording.rows):
            tap = input_tap(self.recording, last[0], values[0])
            if tap is not None:
                self.routes["ssm.gated"] = Route.at(tap)
                return
        self.missing["ssm.gated"] = "no module projects the recurrence's output back to the residual stream"
