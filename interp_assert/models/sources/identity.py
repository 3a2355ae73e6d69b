"""Which model it is: a digest over its weights, and over the other files that decide what it computes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Identity", "digest_of_files", "digest_of_state", "git_blob_sha1", "sha256_of_file"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Identity:
    """A model's identity, known before its weights are loaded.

    ``sha256`` speaks of the weight files only (``model.safetensors``, or every shard), so a directory and the
    repository that it was downloaded from agree. One file: its plain sha256, as ``sha256sum`` prints it; several: the
    sha256 over the sorted lines ``"<sha256> <name>\\n"``. ``files`` maps each file that decides what the model computes
    to its digest (weights, index, config.json, tokenizer): what ``Model.verify_unchanged`` compares.
    """

    id: str
    kind: str
    revision: str | None
    sha256: str
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Builtins only."""
        return {"id": self.id, "kind": self.kind, "revision": self.revision, "sha256": self.sha256}


def sha256_of_file(path: Path) -> str:
    """The sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def git_blob_sha1(path: Path) -> str:
    """The id that git, and therefore the hub, gives to a file that is not stored by LFS."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def digest_of_files(digests: Iterable[tuple[str, str]]) -> str:
    """One digest over (name, digest) of all weight files; of a single file, its own."""
    pairs = sorted(digests)
    if len(pairs) == 1:
        return pairs[0][1]
    lines = "".join(f"{digest}  {name}\n" for name, digest in pairs)
    return hashlib.sha256(lines.encode()).hexdigest()


def digest_of_state(state: Mapping[str, torch.Tensor]) -> str:
    """The sha256 over a state dict: names, dtypes, shapes and bytes, in the order of the names; one piece of a tensor
    at a time."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.reshape(-1)
        for start in range(0, flat.numel(), _CHUNK):
            piece = flat[start : start + _CHUNK].cpu().contiguous()
            digest.update(piece.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
