"""A model in nnsight: modules are read and set through envoys, the attention function through the source of its
module.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..models.calling import arguments, documented_kernels
from ..models.families import family_of
from ..models.sites import block_of, part_of
from ..models.taps.shared import SharedTap
from ..models.taps.tap import Tap, put, take
from .backend import BackendUnavailable, Edit

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["open_copy"]

_FUNCTION = re.compile(r"attention_interface_(\d+)")
"""The call of the attention function in the attention modules of transformers, as nnsight numbers it."""

_ARGUMENTS = {"attn.q": 1, "attn.k": 2, "attn.v": 3}
_RESULTS = {"attn.head_out": 0, "attn.pattern": 1}


def open_copy(model: Model, module: torch.nn.Module) -> SightBackend:
    """Envoys over ``module``, which gets plain attention: the fused kinds return no pattern.

    Raises BackendUnavailable for a model whose family states how it is called.
    """
    from nnsight import NNsight

    if family_of(module).forward is not None:
        raise BackendUnavailable(f"nnsight calls the forward of {model.class_name}, and its family states another pass")
    choose = getattr(module, "set_attn_implementation", None)
    if callable(choose):
        choose("eager")
    return SightBackend(NNsight(module), model)


class _AtModule:
    """A site that is one tensor which a module takes or hands out."""

    def __init__(self, envoy: Any, tap: Tap, root: torch.nn.Module) -> None:
        self.envoy, self.tap, self.root = envoy, tap, root

    def read(self, rows: tuple[int, int]) -> torch.Tensor:
        return self.tap.to_site(take(self._tree(), self.tap.where), rows, self.root)

    def write(self, rows: tuple[int, int], edit: Edit) -> None:
        tree = self._tree()
        tensor = take(tree, self.tap.where)
        site = self.tap.to_site(tensor, rows, self.root)
        changed = put(tree, self.tap.where, self.tap.from_site(edit(site), site, tensor, self.root))
        if self.tap.side == "output":
            self.envoy.output = changed
        else:
            args, kwargs = self.envoy.inputs
            self.envoy.inputs = (changed, kwargs) if isinstance(self.tap.where[0], int) else (args, changed)

    def _tree(self) -> Any:
        if self.tap.side == "output":
            return self.envoy.output
        args, kwargs = self.envoy.inputs
        return args if isinstance(self.tap.where[0], int) else kwargs


class _AtFunction:
    """A site that the attention function takes or gives: q, k, v (batch, head, pos, d), z (batch, pos, head, d)."""

    def __init__(self, operation: Any, part: str) -> None:
        self.operation, self.part = operation, part

    def read(self, rows: tuple[int, int]) -> torch.Tensor:
        if self.part in _ARGUMENTS:
            return self.operation.inputs[0][_ARGUMENTS[self.part]].transpose(1, 2)
        return self.operation.output[_RESULTS[self.part]]

    def write(self, rows: tuple[int, int], edit: Edit) -> None:
        if self.part in _ARGUMENTS:
            args, kwargs = self.operation.inputs
            changed = put(tuple(args), (_ARGUMENTS[self.part],), edit(self.read(rows)).transpose(1, 2))
            self.operation.inputs = (changed, kwargs)
        else:
            self.operation.output = put(tuple(self.operation.output), (_RESULTS[self.part],), edit(self.read(rows)))


class SightBackend:
    """See ``backend.Backend``."""

    name = "nnsight"

    def __init__(self, sight: Any, model: Model) -> None:
        self.sight, self.root = sight, sight._module
        self.logits_at = model.anatomy.logits_at
        self.places: dict[str, _AtModule | _AtFunction] = {}
        several = {block_of(site) for site, route in model.anatomy.routes.items() if isinstance(route.write, SharedTap)}
        functions = [  # where it is called several times for one attention, no single call has the site
            None if block.index in several else _attention_of(sight, block.path) for block in model.anatomy.blocks
        ]
        scaled = self._scaled_before([function for function in functions if function is not None], model)
        for site, route in model.anatomy.routes.items():
            block, part = block_of(site), part_of(site)
            if block is not None and part in {**_ARGUMENTS, **_RESULTS} and functions[block] is not None:
                if not (part == "attn.q" and scaled):
                    self.places[site] = _AtFunction(functions[block], part)
            elif len(route.read) == 1 and isinstance(route.write, Tap) and route.write.nth is None and not route.bases:
                self.places[site] = _AtModule(_envoy(sight, route.write.path), route.write, sight._module)
        self.sites = (*self.places, "logits")

    def _pass(self, ids: torch.Tensor) -> Any:
        args, kwargs = arguments(self.root, ids)
        return self.sight.trace(*args, **kwargs)

    def _scaled_before(self, functions: list[Any], model: Model) -> bool:
        """Whether queries come to the attention function divided by the square root of their size already (opt)."""
        import nnsight

        scales: list[float] = []

        def read() -> None:
            scales.append(nnsight.save(functions[0].inputs[1].get("scaling")))

        if functions:
            ids = torch.zeros((1, 2), dtype=torch.long, device=model.device)
            with torch.no_grad(), documented_kernels(), self._pass(ids):
                read()
        return scales == [1.0]

    def capture(self, ids: torch.Tensor, sites: Sequence[str]) -> dict[str, torch.Tensor]:
        import nnsight

        found: dict[str, torch.Tensor] = {}
        rows = (ids.shape[0], ids.shape[1])

        def read(site: str) -> None:
            value = take(self.sight.output, self.logits_at) if site == "logits" else self.places[site].read(rows)
            found[site] = nnsight.save(value.clone())  # falcon goes on writing into what its MLP handed out

        for site in sites:  # a pass for each: within one, nnsight wants them in order of execution
            with torch.no_grad(), documented_kernels(), self._pass(ids):
                read(site)
        return found

    def logits(self, ids: torch.Tensor, site: str, edit: Edit) -> torch.Tensor | None:
        import nnsight

        if part_of(site) == "attn.pattern" or site == "logits":
            return None  # the pattern has been used by the time it is seen
        rows = (ids.shape[0], ids.shape[1])
        found: list[torch.Tensor] = []

        def write() -> None:
            self.places[site].write(rows, edit)
            found.append(nnsight.save(take(self.sight.output, self.logits_at)))

        with torch.no_grad(), documented_kernels(), self._pass(ids):
            write()
        return found[0]


def _envoy(sight: Any, path: str) -> Any:
    return sight.get(path) if path else sight


def _attention_of(sight: Any, block: str) -> Any | None:
    """The call of the attention function in the one module of a block that makes it."""
    found: list[Any] = []
    there = dict(sight._module.named_modules())
    if block not in there:  # shown streams have no module
        return None
    for path, part in there[block].named_modules():
        if "attention_interface" in getattr(getattr(type(part).forward, "__code__", None), "co_varnames", ()):
            source = _envoy(sight, f"{block}.{path}" if path else block).source
            names = [name for name in source.names if _FUNCTION.fullmatch(name)]
            found += [getattr(source, max(names, key=lambda name: int(name.rpartition("_")[2])))] if names else []
    return found[0] if len(found) == 1 else None
