"""A module that computes with other weights for a while: in a copy, or in itself while its own weights wait."""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ...errors import InterpError, ModelChanged, ModelRefused
from ..sources.identity import digest_of_state
from .memory import HEADROOM, available_memory, human
from .placement import home, keepers, offloading, parameters, tensor_named, tied_to, value_of

__all__ = ["Lent", "brought_in", "copies_well", "other_weights", "rewritten", "two_fit"]


def copies_well(module: torch.nn.Module) -> bool:
    """Whether a copy would compute with its own weights. A ``forward`` that was put on the instance (to count calls,
    to move weights between devices) is copied as it is: one that holds the module would go on running the trained
    one.
    """
    return not any("forward" in vars(part) for part in module.modules())


def two_fit(module: torch.nn.Module) -> bool:
    """Whether a copy of the module fits in memory beside it."""
    where = home(module)
    need = sum(parameter.numel() * parameter.element_size() for _, parameter in parameters(module))
    free = torch.cuda.mem_get_info(where)[0] if where.type == "cuda" else available_memory()
    return HEADROOM * need <= free


@contextmanager
def other_weights(module: torch.nn.Module, where: str) -> Iterator[torch.nn.Module]:
    """A module that computes as this one does and whose weights may be written: a copy where that is possible, else
    the module itself, whose weights are back when the block ends.

    Raises ModelChanged, naming ``where``, if they are not.
    """
    if copies_well(module) and two_fit(module):
        yield copy.deepcopy(module)
        return
    lent = Lent(module, where)
    try:
        yield module
    finally:
        lent.close()


class Lent:
    """A module whose weights may be written and come back.

    Those that it holds wait in a temporary directory: files of our own rather than the checkpoint's, since transformers
    renames, merges and casts tensors while it loads, and a module that the user built has no checkpoint. Offloaded ones
    are not touched at all: what is written in their place goes to that directory, and is brought instead of them.
    """

    def __init__(self, module: torch.nn.Module, where: str) -> None:
        self._module, self._where = module, where
        self._folder = tempfile.TemporaryDirectory(prefix="interp-assert-")
        self._held = [name for name, parameter in parameters(module) if not parameter.is_meta]
        self._over: list[tuple[Any, _Overlay]] = []
        self._closed = False
        try:
            self._digest = self._digest_now()
            for index, name in enumerate(self._held):
                save_file({"weight": tensor_named(module, name).detach().cpu().contiguous()}, self._file(index))
            for part in module.modules():
                for hook in offloading(part):
                    overlay = _Overlay(hook.weights_map, Path(self._folder.name), f"over-{len(self._over)}")
                    self._over.append((hook, overlay))
                    hook.weights_map = overlay
        except BaseException:
            self._take_off()
            self._folder.cleanup()
            raise

    def restore(self) -> None:
        """Bring the weights back; raises ModelChanged if they do not come back as they were."""
        for _, overlay in self._over:
            overlay.clear()
        with torch.no_grad():
            for index, name in enumerate(self._held):
                tensor_named(self._module, name).copy_(load_file(self._file(index))["weight"])
        if self._digest_now() != self._digest:
            raise ModelChanged(f"{self._where}: its weights did not come back as they were after it was lent out")

    def close(self, *, restore: bool = True) -> None:
        """Bring the weights back and remove the directory; further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            if restore and not sys.is_finalizing():  # then nobody is left to use the module
                self.restore()
        finally:
            self._take_off()
            self._folder.cleanup()

    def _take_off(self) -> None:
        for hook, overlay in self._over:
            hook.weights_map = overlay.dataset

    def _file(self, index: int) -> Path:
        return Path(self._folder.name) / f"{index}.safetensors"

    def _digest_now(self) -> str:
        return digest_of_state({name: tensor_named(self._module, name) for name in self._held})


class _Overlay(Mapping[str, torch.Tensor]):
    """Weights that are brought instead of those in ``dataset``, kept in files."""

    def __init__(self, dataset: Mapping[str, torch.Tensor], folder: Path, stem: str) -> None:
        self.dataset = dataset
        self._folder, self._stem = folder, stem
        self._files: dict[str, Path] = {}

    def put(self, key: str, tensor: torch.Tensor) -> None:
        path = self._files.setdefault(key, self._folder / f"{self._stem}-{len(self._files)}.safetensors")
        save_file({"weight": tensor.detach().cpu().contiguous()}, path)

    def clear(self) -> None:
        for path in self._files.values():
            path.unlink(missing_ok=True)
        self._files.clear()

    def __getitem__(self, key: str) -> torch.Tensor:
        return load_file(self._files[key])["weight"] if key in self._files else self.dataset[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.dataset)

    def __len__(self) -> int:
        return len(self.dataset)


@contextmanager
def rewritten(root: torch.nn.Module, name: str) -> Iterator[torch.Tensor]:
    """A parameter to be written in place. Of an offloaded one a copy, which is used instead of it from then on; that
    needs a module that is ``Lent``.
    """
    held = tensor_named(root, name)
    if not held.is_meta:
        yield held
        return
    value = value_of(root, name).detach().clone()
    yield value
    _replace(root, name, value)


@contextmanager
def brought_in(root: torch.nn.Module, names: Sequence[str], why: str) -> Iterator[None]:
    """Have these parameters in place, all at once, to be written; offloaded ones go to where ``rewritten`` puts them.

    Raises ModelRefused, naming ``why``, where they do not fit in memory.
    """
    away = [name for name in names if tensor_named(root, name).is_meta]
    need = HEADROOM * sum(tensor_named(root, name).numel() * tensor_named(root, name).element_size() for name in away)
    if away and need > available_memory():
        raise ModelRefused(
            f"{why} needs {human(need)} of offloaded weights in memory at once, and {human(available_memory())} are "
            "available; choose scheme resample or permute, which change one tensor at a time"
        )
    hosts = [_host(root, one) for name in away for one in tied_to(root, name)]
    hooked = list({id(host): host for host in hosts}.values())
    for host in hooked:
        host._hf_hook.pre_forward(host)
    try:
        for name in away:
            # What was brought may be the very memory that the trained weight is kept in; and tied ones are one tensor
            # again, as they are in a module that was never spread.
            own = torch.nn.Parameter(tensor_named(root, name).detach().clone(), requires_grad=False)
            for one in tied_to(root, name):
                path, _, last = one.rpartition(".")
                setattr(root.get_submodule(path), last, own)
        yield
        for name in away:
            _replace(root, name, tensor_named(root, name))
    finally:
        for host in hooked:
            host._hf_hook.post_forward(host, ())


def _host(root: torch.nn.Module, name: str) -> Any:
    """The innermost module whose hook brings a parameter."""
    path = name
    while path:
        path = path.rpartition(".")[0]
        if any(True for _ in offloading(root.get_submodule(path))):
            return root.get_submodule(path)
    raise InterpError(f"no hook of accelerate's brings {name}")


def _replace(root: torch.nn.Module, name: str, value: torch.Tensor) -> None:
    for one in tied_to(root, name):
        overlay = next((hook.weights_map for hook, _ in keepers(root, one)), None)
        within = next(within for _, within in keepers(root, one))
        if not isinstance(overlay, _Overlay):
            raise InterpError(f"{name} is offloaded and its module was not lent: nothing may be written in its place")
        overlay.put(within, value)
