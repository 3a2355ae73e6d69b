"""What the rooms below the model's handle need to know of it: the handle imports them, not they the handle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from .anatomy import Anatomy
    from .metering import Meter
    from .sources.identity import Identity


class OpenModel(Protocol):
    """A model whose module can be called; ``Model`` is one."""

    identity: Identity
    meter: Meter
    source: Any

    @property
    def config(self) -> Any: ...

    @property
    def id(self) -> str: ...

    @property
    def module(self) -> torch.nn.Module: ...

    @property
    def tokenizer(self) -> Any | None: ...

    @property
    def anatomy(self) -> Anatomy: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def architecture(self) -> str: ...

    @property
    def class_name(self) -> str: ...

    @property
    def n_parameters(self) -> int: ...

    @property
    def max_positions(self) -> int | None: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def batch_tokens(self) -> int: ...
