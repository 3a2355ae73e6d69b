"""What decides a model's numbers besides its weights: dtype, device, threads, library versions, tokenizer."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .opened import OpenModel

__all__ = ["bos_note", "provenance"]

_LIBRARIES = ("interp-assert", "torch", "transformers", "tokenizers", "safetensors", "numpy")


def provenance(model: OpenModel) -> dict[str, Any]:
    """See ``Model.provenance``."""
    import torch

    from .weights.placement import places

    device = model.device
    tokenizer = model.tokenizer
    return {
        **model.identity.as_dict(),
        **model.source.facts(),
        "architecture": model.architecture,
        "class": model.class_name,
        "n_parameters": model.n_parameters,
        "vocab_size": model.vocab_size,
        "max_positions": model.max_positions,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(device),
        "weights_at": places(model.module),
        "device_name": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine(),
        "attention": str(getattr(model.config, "_attn_implementation", None)),
        "torch_threads": torch.get_num_threads(),
        "tokenizers_parallelism": os.environ.get("TOKENIZERS_PARALLELISM", ""),
        "tokenizer": None if tokenizer is None else type(tokenizer).__name__,
        "bos": bos_note(tokenizer),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
    }


def bos_note(tokenizer: Any | None) -> str:
    """What is done about a token that begins a text."""
    if tokenizer is None:
        return "no tokenizer: no BOS is prepended"
    if tokenizer.bos_token_id is None:
        return "the tokenizer defines no BOS: none is prepended"
    return f"BOS {tokenizer.bos_token!r} (id {tokenizer.bos_token_id}) is prepended"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
