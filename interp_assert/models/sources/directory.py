"""What a model directory holds: config, weights, tokenizer; told from the names of its files, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...errors import ModelBroken, ModelNotFound, ModelRefused
from .checkpoints import saved_steps

__all__ = [
    "TOKENIZER_FILES",
    "read_config",
    "refuse_pickled",
    "shard_names",
    "tokenizer_files",
    "tracked_files",
    "weight_files",
]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tekken.json",
    "tiktoken.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")


def read_config(directory: Path) -> dict[str, Any]:
    """The directory's config.json; the floats that JSON cannot hold, which transformers writes as
    ``{"__float__": "Infinity"}``, are floats again.

    Raises ModelNotFound if there is none, ModelBroken if it is no JSON object.
    """
    path = directory / "config.json"
    if not path.is_file():
        found = ", ".join(sorted(entry.name for entry in directory.iterdir())[:8]) or "nothing"
        steps = saved_steps(directory)
        hint = f"; name one model at a time: {steps[-1][1]}" if steps else ""
        raise ModelNotFound(
            f"{directory} has no config.json, so it is no Hugging Face model directory (it holds {found}){hint}"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelBroken(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelBroken(f"{path} holds {type(config).__name__} where a JSON object is due")
    return {key: _with_floats(value) for key, value in config.items()}


def _with_floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_floats(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"__float__"} and value["__float__"] in ("Infinity", "-Infinity", "NaN"):
        return float(value["__float__"])
    return {key: _with_floats(part) for key, part in value.items()}


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files that transformers would load: ``model.safetensors``, else every shard that the index names.

    Raises ModelRefused where only pickled weights or an adapter exist, ModelNotFound where there are no weights,
    ModelBroken for an unreadable index and for missing shards.
    """
    adapter = directory / "adapter_config.json"
    if adapter.is_file():
        raise ModelRefused(
            f"{directory} holds an adapter ({adapter.name}): its base model would be taken from elsewhere. "
            "Merge it first: PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(directory)"
        )
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    if (directory / INDEX).is_file():
        shards = shard_names(directory / INDEX)
        missing = [name for name in shards if not (directory / name).is_file()]
        if missing:
            raise ModelBroken(
                f"{directory} lacks {len(missing)} of {len(shards)} shards that {INDEX} names: {', '.join(missing[:3])}"
            )
        return [directory / name for name in shards]
    names = sorted(entry.name for entry in directory.iterdir() if entry.is_file())
    refuse_pickled(names, str(directory))
    others = [name for name in names if name.endswith((".safetensors", ".gguf"))]
    hint = f"; it holds {', '.join(others)}, but transformers loads {WEIGHTS} or {INDEX} only" if others else ""
    raise ModelNotFound(f"{directory} has no weights: neither {WEIGHTS} nor {INDEX}{hint}")


def refuse_pickled(names: list[str], where: str) -> None:
    """Raise ModelRefused if ``names`` (none of them loadable safetensors) hold pickled weights."""
    pickled = [name for name in names if name.endswith(_PICKLED)]
    if pickled:
        raise ModelRefused(
            f"{where} has only pickled weights ({', '.join(pickled[:3])}), and opening a pickle runs code. Convert "
            "them where you trust "
            "them: AutoModelForCausalLM.from_pretrained(model, use_safetensors=False).save_pretrained(directory)"
        )


def tokenizer_files(directory: Path) -> list[Path]:
    """The tokenizer files that the directory has."""
    return [directory / name for name in TOKENIZER_FILES if (directory / name).is_file()]


def tracked_files(directory: Path) -> list[Path]:
    """Every file that decides what the model computes: weights, index, config.json, tokenizer, code."""
    extra = [directory / name for name in (INDEX, "config.json") if (directory / name).is_file()]
    return [*weight_files(directory), *extra, *tokenizer_files(directory), *sorted(directory.glob("*.py"))]


def shard_names(path: Path) -> list[str]:
    """The shards that an index file names.

    Raises ModelBroken if it cannot be read, ModelRefused if it names anything but safetensors files beside it.
    """
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(weight_map.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelBroken(f"{path} cannot be read as an index of shards: {error!r}") from error
    foreign = [
        name
        for name in names
        if not isinstance(name, str) or not name.endswith(".safetensors") or Path(name).name != name
    ]
    if foreign:
        raise ModelRefused(f"{path} names {foreign[0]!r}, which is no safetensors file beside it")
    if not names:
        raise ModelBroken(f"{path} names no shards")
    return names
