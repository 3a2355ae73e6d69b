"""A model that the user already holds as a module: one of transformers, or any other language model in torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ModelChanged, ModelRefused
from . import calling
from .families import prepare
from .model import Model
from .opening.own import OwnConfig
from .opening.pretrained import check_finite
from .opening.probing import probe
from .opening.unwrapping import unwrap
from .sources.identity import Identity, digest_of_state
from .weights.placement import State, keepers

__all__ = ["wrap_module"]


@dataclass
class ModuleSource:
    """The user's module and tokenizer; ``config`` is the module's own if it is one of transformers."""

    module: torch.nn.Module
    tokenizer: Any | None
    config: Any

    def open_module(self) -> torch.nn.Module:
        return self.module

    def open_tokenizer(self) -> Any | None:
        return self.tokenizer

    def open_config(self) -> Any:
        return self.config

    def verify(self, identity: Identity) -> None:
        if digest_of_state(State(self.module)) != identity.sha256:
            raise ModelChanged(
                f"{identity.id}: the module's weights changed since it was wrapped; wrap and measure it again"
            )

    def facts(self) -> Mapping[str, Any]:
        return {}

    def opening(self) -> None:
        return None


def wrap_module(
    module: Any,
    tokenizer: Any | None,
    *,
    id: str | None,
    vocab_size: int | None = None,
    max_positions: int | None = None,
) -> Model:
    """See ``load.wrap``."""
    module, its_tokenizer = unwrap(module)
    tokenizer = its_tokenizer if tokenizer is None else tokenizer
    if not isinstance(module, torch.nn.Module):
        hint = "create an instance first" if isinstance(module, type) else "use load(id) for an id"
        hint = "it is one already: wrap its .module" if isinstance(module, Model) else hint
        raise ModelRefused(f"wrap() takes a language model that is a torch module, not {_what(module)}; {hint}")
    _refuse_without_weights(module)
    with_config = _is_transformers_with_head(module)
    config = module.config if with_config else OwnConfig.of(module)
    name = id or getattr(config, "name_or_path", None) or type(module).__name__
    check_finite(module, str(name))
    module.eval()
    training = next((path for path, part in module.named_modules() if part.training), None)
    if training is not None:
        raise ModelRefused(
            f"{training or type(module).__name__} stays in training mode after .eval(), so its dropout would be "
            "measured too: its train() must set .training of itself and its children, as torch.nn.Module's does"
        )
    prepare(module)
    if not with_config or vocab_size is not None or max_positions is not None:
        shown = probe(module, vocab_size=vocab_size, max_positions=max_positions)
        vocab_size, max_positions = shown.vocab_size, shown.max_positions
    identity = Identity(id=str(name), kind="module", revision=None, sha256=digest_of_state(State(module)))
    return Model(identity, ModuleSource(module, tokenizer, config), vocab_size=vocab_size, max_positions=max_positions)


def _refuse_without_weights(module: torch.nn.Module) -> None:
    if next(module.parameters(), None) is None:
        raise ModelRefused(
            f"this {type(module).__name__} has no parameters: there is nothing that it could have learned"
        )
    for path, part in module.named_modules():
        for name, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
            full = f"{path}{'.' if path else ''}{name}"
            if tensor.is_meta and not any(True for _ in keepers(module, full)):  # nor does accelerate bring it
                raise ModelRefused(
                    f"{full} of this {type(module).__name__} is on the meta device and has "
                    "no values: load the weights before wrap() (load_state_dict(..., assign=True)), or build the "
                    "module outside of torch.device('meta')"
                )


def _is_transformers_with_head(module: torch.nn.Module) -> bool:
    """Whether it is a model of transformers that states its config and has a head.

    Raises ModelRefused for one of transformers' own without a language-model head.
    """
    if not calling.is_transformers(module):
        return False
    with_head = getattr(module, "config", None) is not None and module.get_output_embeddings() is not None  # type: ignore[operator]
    if not with_head and type(module).__module__.partition(".")[0] == "transformers":
        raise ModelRefused(
            f"{type(module).__name__} is no causal language model of transformers: it has no config or no "
            "language-model head; open it with AutoModelForCausalLM"
        )
    return with_head


def _what(thing: Any) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__
