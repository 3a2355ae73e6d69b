"""What can be stated about an architecture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import UsageProblem

if TYPE_CHECKING:
    import torch

__all__ = ["Family"]


@dataclass(frozen=True)
class Family:
    """Statements about one module. All are optional: what is None is discovered.

    Attributes:
        blocks: paths of the modules that are the blocks (``"layers.0"``), for a stack that is no ``ModuleList`` of
            composite modules. Their order is that of execution; a module that runs several times is several blocks.
        forward: ``forward(module, ids)`` is one pass over ids (batch, pos) whose result holds logits (batch, pos,
            vocab), for a module whose own ``forward`` wants more than ids or gives back less than all logits. It
            calls ``module``, once.
        logits: key, attribute or index of the logits in what the pass returns, where several tensors could be them.
        readout: ``readout(module, residual)`` gives logits of residuals (batch, pos, d_model), for a way from the
            last block to the logits that cannot be followed.
        hidden_states: ``hidden_states(module, ids)`` gives the residual streams (batch, pos, d_model): before the
            first block, then after each. They can be read, not written, and no blocks are looked for. A module's own
            method ``get_hidden_states(ids)`` is asked where no blocks are found.
        vocab_size: the number of token ids: valid ids are 0 to vocab_size - 1.
        max_positions: the longest sequence that the module takes.
        initialise: ``initialise(module)`` draws every parameter anew, as before training.
        prepare: ``prepare(module)`` is called once when the module is opened, before its weights are hashed: for a
            module that would change its own weights when it first runs.
    """

    blocks: Sequence[str] | None = None
    forward: Callable[[torch.nn.Module, torch.Tensor], Any] | None = None
    logits: str | int | None = None
    readout: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor] | None = None
    hidden_states: Callable[[torch.nn.Module, torch.Tensor], Sequence[torch.Tensor]] | None = None
    vocab_size: int | None = None
    max_positions: int | None = None
    initialise: Callable[[torch.nn.Module], None] | None = None
    prepare: Callable[[torch.nn.Module], None] | None = None

    def __post_init__(self) -> None:
        """Raises UsageProblem for a function that is none, and for one path where a list of them is due."""
        for name in ("forward", "readout", "hidden_states", "initialise", "prepare"):
            stated = getattr(self, name)
            if stated is not None and not callable(stated):
                raise UsageProblem(f"Family({name}=...) is a function of the module, not {stated!r}")
        if isinstance(self.blocks, str):
            raise UsageProblem(f"Family(blocks=...) is a list of paths, not one: [{self.blocks!r}]")


NOTHING = Family()
"""What is stated about a module that no family was registered for."""
