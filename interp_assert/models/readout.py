"""From the last residual to the logits: the final norm, the head, and every scaling, soft-cap and vocabulary cut on
the way.

The steps are read off the recorded forward pass (``unembedding.py``) and replayed on any residual, so that ``unembed``
does what the model does and nothing twice. Whether the replay is right is not assumed here but proven (``proof.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ..errors import UsageProblem
from .recording.graph import Location, Ref, tensors_in
from .taps.tap import Tap, take
from .weights.placement import where_used


@dataclass(frozen=True)
class Named:
    """A parameter or buffer, looked up anew in the module at hand."""

    name: str


@dataclass(frozen=True)
class Size:
    """A size of the recorded pass that is another one in another pass: ``times`` the rows, the positions or both."""

    of: Literal["batch", "pos", "rows"]
    times: int = 1

    def resolve(self, rows: tuple[int, int]) -> int:
        return self.times * {"batch": rows[0], "pos": rows[1], "rows": rows[0] * rows[1]}[self.of]


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


@dataclass(frozen=True)
class ReshapeStep:
    """Other axes for what follows to count by."""

    source: int
    shape: tuple[int | Size, ...]
    value: int

    def describe(self) -> str:
        return "reshape"


Step = ModuleStep | OpStep | LinearStep | ReshapeStep


@dataclass(frozen=True)
class Readout:
    """The steps from the last block's residual to the logits (value ``end``), in order.

    ``starts`` are the values of the residual: one, or one for each stream where each is a tensor of its own.
    ``final_norm`` is where the normed residual comes out, ``head`` where the unembedding takes its input.
    """

    starts: tuple[int, ...]
    end: int
    steps: tuple[Step, ...]
    final_norm: Tap | None
    head: Tap | None

    def describe(self) -> str:
        return " -> ".join(step.describe() for step in self.steps) or "identity"


@dataclass(frozen=True)
class StatedReadout:
    """The way from the last block's residual to the logits as a family states it: a function of the module and of
    residuals (batch, pos, d_model).
    """

    function: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]
    final_norm: Tap | None = None
    head: Tap | None = None

    def describe(self) -> str:
        return "as its family states it"

    def logits(self, root: torch.nn.Module, residual: torch.Tensor, vocab_size: int) -> torch.Tensor:
        """Logits (batch, pos, vocab) of a residual; raises UsageProblem if what the function gives is none."""
        made = self.function(root, residual)
        if isinstance(made, torch.Tensor) and made.shape[:-1] == residual.shape[:2] and made.shape[-1] >= vocab_size:
            return made
        what = tuple(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__
        raise UsageProblem(
            f"the readout that the family of {type(root).__name__} states gives {what} for residuals "
            f"{tuple(residual.shape)}; due are logits (batch, pos, vocab) of {vocab_size} token ids"
        )


def replay(root: torch.nn.Module, readout: Readout, residual: torch.Tensor, rows: tuple[int, int]) -> torch.Tensor:
    """Logits of a residual of ``rows`` = (batch, pos) vectors, laid out as the last block hands it out (streams that
    are tensors of their own stacked on axis 2), by the recorded steps.
    """
    parts = residual.unbind(2) if len(readout.starts) > 1 else (residual,)
    values = dict(zip(readout.starts, parts, strict=True))

    def fill(tree: Any) -> Any:
        if isinstance(tree, Ref):
            return values[tree.value]
        if isinstance(tree, Named):
            return where_used(root, tree.name)
        if isinstance(tree, Size):
            return tree.resolve(rows)
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
        elif isinstance(step, ReshapeStep):
            values[step.value] = values[step.source].reshape(*fill(step.shape))
        else:
            args = fill(step.args)
            device = next((tensor.device for _, tensor in tensors_in(args)), residual.device)
            args = tuple(arg.to(device) if isinstance(arg, torch.Tensor) else arg for arg in args)
            values[step.value] = step.func(*args, **fill(step.kwargs))
    return values[readout.end]
