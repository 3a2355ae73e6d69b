"""What a model directory holds and whether it is whole: told from names, sizes and headers, without torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelBroken, ModelNotFound, ModelRefused
from .identity import Identity, digest_of_files, sha256_of_file

__all__ = [
    "TOKENIZER_FILES",
    "Tensor",
    "identify",
    "read_config",
    "refuse_what_cannot_be_opened",
    "tensors_of",
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
_HEADER_LIMIT = 100_000_000  # the safetensors library's own limit
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
    "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4,
    "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor as a safetensors header describes it; ``dtype`` in the format's own spelling, such as ``"BF16"``."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str

    @property
    def numel(self) -> int:
        """Number of elements."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.numel * (_BITS.get(self.dtype) or 8 * _BYTES.get(self.dtype, 4)) // 8

    @property
    def floating(self) -> bool:
        """Whether loading with a dtype converts it."""
        return self.dtype.startswith(("F", "BF"))


def read_config(directory: Path) -> dict[str, Any]:
    """The directory's config.json as written.

    Raises ModelNotFound if there is none, ModelBroken if it is no JSON object.
    """
    path = directory / "config.json"
    if not path.is_file():
        found = ", ".join(sorted(entry.name for entry in directory.iterdir())[:8]) or "nothing"
        raise ModelNotFound(
            f"{directory} has no config.json, so it is no Hugging Face model directory (it holds {found})"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelBroken(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelBroken(f"{path} holds {type(config).__name__} where a JSON object is due")
    return config


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
        return _shards(directory)
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


def tensors_of(path: Path) -> list[Tensor]:
    """The tensors of one safetensors file, read from its header; the file's size must be what the header says.

    Raises ModelBroken naming the file if it is truncated or no safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        first = stream.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if len(first) < 8 or (2 <= length <= _HEADER_LIMIT and length > size - 8):
            raise ModelBroken(f"{path} is truncated: {size} bytes end within its header; copy or download it again")
        if not 2 <= length <= _HEADER_LIMIT:
            raise ModelBroken(f"{path} is no safetensors file: its header claims {length} bytes")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
        tensors, end = _read_header(header, path.name)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelBroken(f"{path} is no safetensors file: its header cannot be read ({error})") from error
    expected = 8 + length + end
    if size != expected:
        fault = "is truncated" if size < expected else "has trailing bytes"
        raise ModelBroken(f"{path} {fault}: {size} bytes, but its header says {expected}; copy or download it again")
    return tensors


def tokenizer_files(directory: Path) -> list[Path]:
    """The tokenizer files that the directory has."""
    return [directory / name for name in TOKENIZER_FILES if (directory / name).is_file()]


def tracked_files(directory: Path) -> list[Path]:
    """Every file that decides what the model computes: weights, index, config.json, tokenizer, code."""
    extra = [directory / name for name in (INDEX, "config.json") if (directory / name).is_file()]
    return [*weight_files(directory), *extra, *tokenizer_files(directory), *sorted(directory.glob("*.py"))]


def identify(directory: Path, *, id: str, kind: str, revision: str | None) -> Identity:
    """Hash the files of a directory; see Identity for what the digest covers."""
    files = {path.name: sha256_of_file(path) for path in tracked_files(directory)}
    weights = [(path.name, files[path.name]) for path in weight_files(directory)]
    return Identity(id=id, kind=kind, revision=revision, sha256=digest_of_files(weights), files=files)


def refuse_what_cannot_be_opened(config: Mapping[str, Any], where: str, *, trust_remote_code: bool) -> None:
    """Raise ModelRefused for a config.json that says, by itself, that the model cannot be opened."""
    if not config.get("model_type") and not config.get("auto_map"):
        raise ModelRefused(f"{where}: config.json names no model_type, so transformers cannot tell the architecture")
    if trust_remote_code:
        return
    if config.get("auto_map") and not _known_to_transformers(config.get("model_type")):
        raise ModelRefused(
            f"{where}: model_type {config.get('model_type')!r} is defined by Python code shipped with the model. Read "
            "that code, and if "
            "you trust it pass trust_remote_code=True (--interp-trust-remote-code), which runs it"
        )


def _known_to_transformers(model_type: Any) -> bool:
    # transformers.models is a package of folders named after model types; looking for the folder needs no import of
    # torch. Types without a folder of their own are looked up in the full table when the model is opened.
    from importlib.util import find_spec

    spec = find_spec("transformers")
    if spec is None or not spec.submodule_search_locations or not isinstance(model_type, str):
        return False
    return any(
        (Path(root) / "models" / model_type.replace("-", "_")).is_dir() for root in spec.submodule_search_locations
    )


def _shards(directory: Path) -> list[Path]:
    path = directory / INDEX
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
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise ModelBroken(
            f"{directory} lacks {len(missing)} of {len(names)} shards that {INDEX} names: {', '.join(missing[:3])}"
        )
    if not names:
        raise ModelBroken(f"{path} names no shards")
    return [directory / name for name in names]


def _read_header(header: dict[str, Any], file: str) -> tuple[list[Tensor], int]:
    tensors, end = [], 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, stop = entry["data_offsets"]
        tensor = Tensor(name, str(entry["dtype"]), tuple(int(length) for length in entry["shape"]), file)
        if not 0 <= start <= stop or (tensor.dtype in _BYTES and stop - start != tensor.nbytes):
            raise ValueError(
                f"tensor {name!r} of shape {tensor.shape} and dtype {tensor.dtype} at bytes {start}-{stop}"
            )
        tensors.append(tensor)
        end = max(end, stop)
    return tensors, end
