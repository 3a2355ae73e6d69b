"""Open a model for measurement: ``load`` an id, or ``wrap`` a module that you already hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelChanged, ModelNotFound, UsageProblem
from .directory import identify, read_config, refuse_what_cannot_be_opened, tensors_of, weight_files
from .identity import Identity
from .memory import dtype_name
from .model import Model
from .sources import ModelId, open_scheme, parse_id

if TYPE_CHECKING:
    import torch

__all__ = ["load", "preflight", "wrap"]

_DEVICE = re.compile(r"(cpu|cuda|mps|xpu|hpu|npu)(:\d+)?")


def load(
    id: str,
    *,
    revision: str | None = None,
    device: str | None = None,
    dtype: Any = None,
    trust_remote_code: bool = False,
) -> Model:
    """A lazy handle of the model ``id``: ``zoo:NAME[@STEP]``, a directory, or ``org/name[@revision]``; ``name=./dir``
    names a directory.

    Resolves the id, takes the model's identity and checks everything that can be checked without torch; weights are
    read on first use. ``device``: by default the first CUDA device if there is one, else the CPU. ``dtype``: by default
    float32 on the CPU if 1.5 times the weights fit in memory, else bfloat16; the checkpoint's own on a GPU. Only
    safetensors are opened.

    Raises ModelNotFound, ModelRefused, ModelBroken or UsageProblem.
    """
    identity, source = _find(id, revision, trust_remote_code=trust_remote_code, device=device, dtype=dtype)
    return Model(identity, source)


def preflight(
    id: str,
    *,
    revision: str | None = None,
    device: str | None = None,
    dtype: Any = None,
    trust_remote_code: bool = False,
) -> Identity:
    """The identity of ``id`` after every check that needs no torch; the same errors as ``load``."""
    return _find(id, revision, trust_remote_code=trust_remote_code, device=device, dtype=dtype)[0]


def wrap(module: torch.nn.Module, tokenizer: Any | None = None, *, id: str | None = None) -> Model:
    """A handle of a causal language model that you already hold, on its device and in its dtype.

    The module is put in eval mode and stays so; nothing else about it changes, and its ``requires_grad`` flags stay as
    they are. Its identity is the sha256 over its state dict.
    """
    from .wrapped import wrap_module

    return wrap_module(module, tokenizer, id=id)


@dataclass
class FileSource:
    """A model in a directory."""

    directory: Path
    identity: Identity
    device: str | None
    dtype: str | None
    trust_remote_code: bool

    def open_module(self) -> torch.nn.Module:
        from . import opening

        device = opening.resolve_device(self.device)
        self.verify(self.identity)
        module = opening.open_module(
            self.directory, self.identity.id, device=device, dtype=self.dtype, trust_remote_code=self.trust_remote_code
        )
        self.verify(self.identity)
        return module

    def open_tokenizer(self) -> Any | None:
        from .opening import open_tokenizer

        return open_tokenizer(self.directory, self.identity.id, trust_remote_code=self.trust_remote_code)

    def open_config(self) -> Any:
        from .opening import open_config

        return open_config(self.directory, self.identity.id, trust_remote_code=self.trust_remote_code)

    def verify(self, identity: Identity) -> None:
        now = identify(self.directory, id=identity.id, kind=identity.kind, revision=identity.revision).files
        changed = sorted(name for name in {*now, *identity.files} if now.get(name) != identity.files.get(name))
        if changed:
            raise ModelChanged(
                f"{identity.id}: {', '.join(changed)} in {self.directory} changed since the model was opened; measure "
                "it again from the start"
            )

    def facts(self) -> Mapping[str, Any]:
        return {"directory": str(self.directory), "trust_remote_code": self.trust_remote_code}


def _find(
    id: str, revision: str | None, *, trust_remote_code: bool, device: str | None, dtype: Any
) -> tuple[Identity, FileSource]:
    if device is not None and not _DEVICE.fullmatch(str(device)):
        raise UsageProblem(f"unknown device {str(device)!r}: write cpu, cuda or cuda:1")
    dtype = dtype_name(dtype)
    parsed = parse_id(id, revision)
    if parsed.scheme == "hub":
        raise ModelNotFound(f"{parsed.id}: hub ids are not supported yet")
    directory = _directory(parsed)
    refuse_what_cannot_be_opened(read_config(directory), str(directory), trust_remote_code=trust_remote_code)
    for path in weight_files(directory):
        tensors_of(path)
    kind = parsed.scheme
    identity = identify(directory, id=parsed.id, kind=kind, revision=parsed.revision)
    source = FileSource(directory, identity, None if device is None else str(device), dtype, trust_remote_code)
    return identity, source


def _directory(parsed: ModelId) -> Path:
    if parsed.scheme != "directory":
        return open_scheme(parsed)
    directory = Path(parsed.target).expanduser()
    if not directory.exists():
        raise ModelNotFound(f"no directory {parsed.target} (looked for {directory.resolve()})")
    if not directory.is_dir():
        raise ModelNotFound(f"{parsed.target} is a file; a model is a directory with config.json and model.safetensors")
    return directory.resolve()
