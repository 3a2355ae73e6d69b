"""A model in files: a directory of the user's or the zoo's, or a snapshot of the hub's cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...errors import InterpError, ModelBroken, ModelChanged
from ..sources.directory import tracked_files, weight_files
from ..sources.headers import tensors_of
from ..sources.hub import HubModel
from ..sources.identity import Identity, digest_of_files, git_blob_sha1, sha256_of_file
from ..weights.devices import resolve_device
from ..weights.spreading import DeviceMap

if TYPE_CHECKING:
    import torch

__all__ = ["FileSource", "identify"]


def identify(directory: Path, *, id: str, kind: str, revision: str | None) -> Identity:
    """Hash the files of a directory; see Identity for what the digest covers."""
    files = {path.name: sha256_of_file(path) for path in tracked_files(directory)}
    weights = [(path.name, files[path.name]) for path in weight_files(directory)]
    return Identity(id=id, kind=kind, revision=revision, sha256=digest_of_files(weights), files=MappingProxyType(files))


@dataclass
class FileSource:
    """Opens a model from ``place``: a directory, or a repository that is downloaded first."""

    place: Path | HubModel
    identity: Identity
    device: str | None
    dtype: str | None
    trust_remote_code: bool
    device_map: DeviceMap | None = None

    def open_module(self) -> torch.nn.Module:
        from . import pretrained as opening

        device = self.device_map or resolve_device(self.device)
        directory = self._directory(weights=True)
        self._refuse_changed(directory, "since its identity was taken")
        module = opening.open_module(
            directory, self.identity.id, device=device, dtype=self.dtype, trust_remote_code=self.trust_remote_code
        )
        self._refuse_changed(directory, "while it was being opened")
        return module

    def open_tokenizer(self) -> Any | None:
        from .pretrained import open_tokenizer

        return open_tokenizer(
            self._directory(weights=False), self.identity.id, trust_remote_code=self.trust_remote_code
        )

    def open_config(self) -> Any:
        from .pretrained import open_config

        return open_config(self._directory(weights=False), self.identity.id, trust_remote_code=self.trust_remote_code)

    def verify(self, identity: Identity) -> None:
        self._refuse_changed(self._directory(weights=True), "since it was opened")

    def facts(self) -> Mapping[str, Any]:
        if isinstance(self.place, HubModel):
            return {"repository": self.place.repo, "trust_remote_code": self.trust_remote_code}
        return {"directory": str(self.place), "trust_remote_code": self.trust_remote_code}

    def opening(self) -> Mapping[str, Any]:
        asked = {"device": self.device, "device_map": self.device_map, "dtype": self.dtype}
        return {**asked, "trust_remote_code": self.trust_remote_code}

    def _directory(self, *, weights: bool) -> Path:
        if isinstance(self.place, Path):
            return self.place
        return self.place.fetch(weights=weights)

    def _refuse_changed(self, directory: Path, when: str) -> None:
        recorded = self.identity.files
        changed = [name for name, digest in recorded.items() if _digest_now(directory / name, digest) != digest]
        if isinstance(self.place, Path):
            changed += [name for name in _tracked_now(directory) if name not in recorded]
        elif changed and "identity" in when:
            raise ModelBroken(
                f"{self.identity.id}: {', '.join(changed)} in the cache {directory} is not what the hub says it is; "
                "delete that folder "
                "and download it again"
            )
        if changed:
            raise ModelChanged(
                f"{self.identity.id}: {', '.join(sorted(changed))} in {directory} changed {when}; "
                "keep the directory still and measure the model again from the start"
            )


def refuse_broken(directory: Path) -> None:
    """Raise ModelBroken if a weight file is truncated or no safetensors file."""
    for path in weight_files(directory):
        tensors_of(path)


def _tracked_now(directory: Path) -> list[str]:
    try:
        return [path.name for path in tracked_files(directory)]
    except (OSError, InterpError):
        return []  # the directory or its weights are gone: the recorded files that are missing say so


def _digest_now(path: Path, recorded: str) -> str | None:
    """The digest of the kind that ``recorded`` is: sha256 (64 digits) or git blob id (40); None if the file is gone."""
    if not path.is_file():
        return None
    return git_blob_sha1(path) if len(recorded) == 40 else sha256_of_file(path)
