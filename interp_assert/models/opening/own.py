"""Models of architectures that their authors registered: a stand-in for the transformers config, and their directories.

A directory of one holds what any model's does. ``model.safetensors`` is the module's state dict; config.json names the
model_type and the arguments of the class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from ...errors import ModelBroken, UsageProblem
from ..families import Supplied
from ..sources.directory import read_config, weight_files
from ..sources.headers import Tensor

__all__ = ["OwnConfig", "build", "load_weights", "own_config", "register_with_transformers"]

_HOUSEKEEPING = frozenset({"model_type", "architectures", "transformers_version", "torch_dtype", "dtype", "auto_map"})
"""Keys of a config.json that are about the file and not arguments of the model's class."""


@dataclass(frozen=True)
class OwnConfig:
    """What stands for the transformers config of a model that has none: the standard keys that it states."""

    model_type: str
    vocab_size: int | None = None
    max_position_embeddings: int | None = None
    bos_token_id: Any = None
    eos_token_id: Any = None
    pad_token_id: Any = None

    @classmethod
    def of(cls, module: torch.nn.Module) -> OwnConfig:
        """Read from a module's own config, a mapping or any object; the sizes are not: they are probed."""
        own = getattr(module, "config", None)
        names = ("model_type", "bos_token_id", "eos_token_id", "pad_token_id")
        stated = {name: own.get(name) if isinstance(own, Mapping) else getattr(own, name, None) for name in names}
        return cls(str(stated.pop("model_type") or type(module).__name__), **stated)


def own_config(directory: Path) -> OwnConfig:
    """The standard keys of a directory's config.json."""
    raw = read_config(directory)
    stated = {field.name: raw.get(field.name) for field in fields(OwnConfig) if field.name != "model_type"}
    return OwnConfig(str(raw["model_type"]), **stated)


def register_with_transformers(model_type: str, module_class: type[torch.nn.Module]) -> bool:
    """Make transformers open a registered class of its own kind, one that has a ``config_class``; False for others.

    Raises UsageProblem where that config_class is for another model_type.
    """
    config_class = getattr(module_class, "config_class", None)
    if config_class is None:
        return False
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        AutoConfig.register(model_type, config_class, exist_ok=True)
        AutoModelForCausalLM.register(config_class, module_class, exist_ok=True)
    except ValueError as error:
        raise UsageProblem(
            f"{module_class.__name__} cannot open directories of model_type {model_type!r}: {error}"
        ) from error
    return True


def build(directory: Path, supplied: Supplied, where: str) -> torch.nn.Module:
    """The module of a registered class, built as config.json says; the global random state is left as it was.

    Raises ModelBroken if the class does not take these arguments.
    """
    arguments = {key: value for key, value in read_config(directory).items() if key not in _HOUSEKEEPING}
    make = supplied.build or (lambda arguments: supplied.module_class(**arguments))
    try:
        with torch.random.fork_rng(devices=[]):
            module = make(arguments)
    except Exception as error:  # whatever the author's code raises
        raise ModelBroken(
            f"{where}: {supplied.module_class.__name__} cannot be built from {directory / 'config.json'} "
            f"({json.dumps(arguments)[:200]}): {type(error).__name__}: {error}; its keys are the arguments of the "
            "class, or state how: register_family(..., build=lambda config: ...)"
        ) from error
    if not isinstance(module, supplied.module_class):
        raise ModelBroken(f"{where}: build of {supplied.module_class.__name__} returned {type(module).__name__}")
    return module


def load_weights(module: torch.nn.Module, directory: Path, tensors: list[Tensor], dtype: str | None) -> dict[str, Any]:
    """Fill ``module`` from the directory's safetensors files, converted to ``dtype`` (None: as most of them are); what
    did not fit, in the form in which transformers tells it.
    """
    from safetensors.torch import load_file

    state = {name: tensor for path in weight_files(directory) for name, tensor in load_file(path).items()}
    floating = [tensor.dtype for tensor in state.values() if tensor.is_floating_point()]
    if dtype is not None or floating:
        module.to(dtype=getattr(torch, dtype) if dtype else max(set(floating), key=floating.count))
    own = module.state_dict()
    mismatched = [
        (name, tuple(state[name].shape), tuple(tensor.shape))
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    fitting = {name: tensor for name, tensor in state.items() if name not in {name for name, *_ in mismatched}}
    missing, unexpected = module.load_state_dict(fitting, strict=False)
    filled = {own[name].data_ptr() for name in fitting if name in own}
    return {
        "missing_keys": [name for name in missing if name not in state and own[name].data_ptr() not in filled],  # tied
        "mismatched_keys": mismatched,
        "unexpected_keys": unexpected,
        "error_msgs": [f"no place for {', '.join(sorted(unexpected)[:4])}"] if unexpected else [],
    }
