"""Forward passes over one module for a check to compare: plain, traced, and the same over copies of the module."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch

from ..models import calling
from ..models.proving.closeness import tolerance
from ..models.proving.proof import draw_anew
from ..models.running import trace_module
from ..models.taps.tap import take
from ..models.weights.lending import copies_well, other_weights
from ..models.weights.memory import available_memory, human
from ..models.weights.placement import is_spread

if TYPE_CHECKING:
    from ..models import Model
    from ..models.anatomy import Anatomy
    from ..models.edits import Edit

__all__ = ["Passes", "stream_of"]


class Passes:
    """A model as a check sees it: its module, its anatomy as it was claimed, and passes over them."""

    def __init__(self, model: Model, anatomy: Anatomy, module: torch.nn.Module) -> None:
        self.model, self.anatomy, self.module = model, anatomy, module
        self.futile: set[str] = set()
        """experiments that explained nothing on this model, and need not be made for every further input"""

    @classmethod
    def of(cls, model: Model) -> Passes:
        """The passes over the model itself. What proofs withdrew at load is examined too."""
        return cls(model, model.anatomy.as_claimed(), model.module)

    @cached_property
    def limit(self) -> float:
        """The largest relative difference that passes for rounding unasked: that of the number format, growing with
        the root of the number of blocks, as independent rounding errors add up."""
        return tolerance(self.anatomy, self.model) * sqrt(self.anatomy.n_blocks)

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits (batch, pos, vocab) of a plain pass, without a hook of ours."""
        return take(self.call(ids), self.anatomy.logits_at).clone()

    def look(
        self,
        ids: torch.Tensor,
        read: Sequence[str],
        write: Mapping[str, Edit] | None = None,
        positions: list[int] | None = None,
    ) -> dict[str, torch.Tensor]:
        """The sites read in one traced pass, at all positions or those named, and ``logits`` always."""
        self.model.meter.count(*ids.shape)
        edits = {site: [edit] for site, edit in (write or {}).items()}
        wanted = [site for site in read if site != "logits"]
        values, logits = trace_module(self.module, self.anatomy, ids, wanted, edits, positions, logits=True)
        assert logits is not None
        return {**values, "logits": logits}

    def unembed(self, resid: torch.Tensor) -> torch.Tensor:
        """Logits of residuals, by the readout as it was claimed."""
        return self.anatomy.unembed(resid)

    @cached_property
    def in_float64(self) -> Passes | str:
        """Passes over a copy of the module in float64, or the reason why there is none."""
        if self.model.dtype == torch.float64:
            return self  # what it computes in float32 all the same is lifted in the rerun
        if is_spread(self.module):
            return "its weights are spread over several places"
        if not copies_well(self.module):
            return "a forward was put on an instance of a module, and a copy would run the original"
        need = 8 * sum(parameter.numel() for parameter in self.module.parameters())
        if self.model.device.type == "cpu" and need > available_memory() / 2:
            return f"a copy in float64 would need {human(need)} of memory"
        try:
            module = copy.deepcopy(self.module).double()
            _choose_eager_experts(module)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            return f"no copy in float64 can be made: {error}"
        return Passes(self.model, self.anatomy.rebind(module), module)

    @contextmanager
    def with_fresh_weights(self) -> Iterator[Passes]:
        """Passes over the same module with matrices drawn anew: they tell what these weights ignore (a zeroed output
        matrix) from what nothing would hear."""
        with other_weights(self.module, self.model.id) as module:
            draw_anew(module)
            yield Passes(self.model, self.anatomy.rebind(module), module)

    def as_model(self) -> Model:
        """A handle of the same model with this module and this anatomy."""
        handle = copy.copy(self.model)
        handle._module, handle._anatomy, handle._take_back = self.module, self.anatomy, None
        return handle

    def accepts(self, option: str) -> bool:
        """Whether the module's ``forward`` takes an option."""
        return calling.accepts(self.module, option)

    def call(self, ids: torch.Tensor, **options: Any) -> Any:
        """The module's own result for ids (batch, pos) and further options of its ``forward``."""
        self.model.meter.count(*ids.shape)
        with torch.no_grad():
            return calling.forward(self.module, ids, **options)


def _choose_eager_experts(module: torch.nn.Module) -> None:
    """Grouped matrix products of experts know no float64; the plain loop over experts does."""
    for part in module.modules():
        config: Any = getattr(part, "config", None)
        if hasattr(config, "_experts_implementation"):
            config._experts_implementation = "eager"


def stream_of(passes: Passes) -> list[str]:
    """Where the residual stream can be read, in order of computation: the entry of the first block, each block's exit,
    the logits."""
    blocks = [f"blocks.{index}.resid_post" for index in range(passes.anatomy.n_blocks)]
    return [*(site for site in ("blocks.0.resid_pre", *blocks) if site in passes.anatomy.routes), "logits"]
