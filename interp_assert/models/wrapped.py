"""A model that the user already holds as a module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ModelChanged, ModelRefused
from .identity import Identity, digest_of_state
from .model import Model
from .opening import check_finite

__all__ = ["wrap_module"]


@dataclass
class ModuleSource:
    """The user's module and tokenizer."""

    module: torch.nn.Module
    tokenizer: Any | None

    def open_module(self) -> torch.nn.Module:
        return self.module

    def open_tokenizer(self) -> Any | None:
        return self.tokenizer

    def open_config(self) -> Any:
        return self.module.config

    def verify(self, identity: Identity) -> None:
        if digest_of_state(self.module.state_dict()) != identity.sha256:
            raise ModelChanged(
                f"{identity.id}: the module's weights changed since it was wrapped; wrap and measure it again"
            )

    def facts(self) -> Mapping[str, Any]:
        return {}


def wrap_module(module: torch.nn.Module, tokenizer: Any | None, *, id: str | None) -> Model:
    """See ``load.wrap``."""
    if not isinstance(module, torch.nn.Module):
        raise ModelRefused(f"wrap() takes a Hugging Face module, not {type(module).__name__}; use load(id) for an id")
    if getattr(module, "config", None) is None or module.get_output_embeddings() is None:  # type: ignore[operator]
        raise ModelRefused(
            f"{type(module).__name__} is no causal language model of transformers: it has no config or no "
            "language-model head"
        )
    name = id or getattr(module.config, "name_or_path", None) or type(module).__name__
    check_finite(module, str(name))
    module.eval()
    identity = Identity(id=str(name), kind="module", revision=None, sha256=digest_of_state(module.state_dict()))
    return Model(identity, ModuleSource(module, tokenizer))
