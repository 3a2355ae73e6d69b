"""Tiny models as large ones are opened: in shards, part of them in memory and the rest on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

SHARD = "20KB"


def device_map(model: torch.nn.Module, *, resident: tuple[str, ...] = ()) -> dict[str, str]:
    """Block 0 in memory, everything else on disk, but for modules whose names end with one of ``resident``."""
    places: dict[str, str] = {}

    def place(path: str, module: torch.nn.Module) -> None:
        for name, child in module.named_children():
            inside = f"{path}.{name}" if path else name
            if isinstance(child, torch.nn.ModuleList):
                places.update({f"{inside}.{i}": "disk" if i else "cpu" for i in range(len(child))})
            elif any(isinstance(part, torch.nn.ModuleList) for part in child.modules()):
                place(inside, child)
            else:
                places[inside] = "cpu" if inside.endswith(resident) and resident else "disk"

    place("", model)
    return places


def saved(model: PreTrainedModel, directory: Path) -> Path:
    """Save in several safetensors files with an index."""
    model.save_pretrained(directory, max_shard_size=SHARD)
    assert len(list(directory.glob("*.safetensors"))) > 1
    return directory


def offloaded(model: PreTrainedModel, directory: Path, *, resident: tuple[str, ...] = (), **options: Any) -> Any:
    """The same model opened again, two parts in memory and on disk, as transformers and accelerate do it."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        return AutoModelForCausalLM.from_pretrained(
            saved(model, directory / "model"),
            device_map=device_map(model, resident=resident),
            offload_folder=directory / "offload",
            **{"dtype": torch.float32, **options},
        )
    finally:
        logging.set_verbosity(verbosity)


def on_meta(module: torch.nn.Module) -> set[str]:
    """The names of the parameters that are elsewhere at this moment."""
    return {name for name, parameter in module.named_parameters(remove_duplicate=False) if parameter.is_meta}
