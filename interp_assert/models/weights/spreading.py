"""Opening a model that is larger than one device: accelerate spreads its weights over devices, memory and disk."""

from __future__ import annotations

import errno
import re
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from ...errors import ModelRefused, UsageProblem
from ..sources.headers import Tensor
from .devices import DEVICE, resolve_device
from .memory import HEADROOM, available_memory, choose_dtype, human, weight_bytes

if TYPE_CHECKING:
    import torch

__all__ = [
    "MAPS",
    "DeviceMap",
    "OffloadFolder",
    "as_device_map",
    "dtype_when_spread",
    "limits",
    "refuse_placing",
    "refuse_unknown_names",
    "spread_options",
]

DeviceMap = str | Mapping[str, Any]
MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
ACCELERATE = (1, 15)
"""The first release that keeps tied weights apart from others when they are on disk."""
SHARE_OF_A_GPU = 0.9


def as_device_map(device: Any, device_map: Any) -> tuple[str | None, DeviceMap | None]:
    """What a user wrote for ``device`` and ``device_map``, as (one device, None) or (None, a map).

    Raises UsageProblem for what neither is, for both at once, and for a map where accelerate is not installed.
    """
    if device is not None and device_map is not None:
        raise UsageProblem("device and device_map were both given: a map says where everything goes, leave device out")
    if isinstance(device_map, Mapping):
        if not device_map or not all(isinstance(name, str) for name in device_map):
            raise UsageProblem('device_map names modules and where they go: {"model.layers.0": "cpu", ...}')
        for name, place in device_map.items():
            if place != "disk" and not (isinstance(place, int) and place >= 0) and not DEVICE.fullmatch(str(place)):
                raise UsageProblem(f"device_map puts {name!r} on {place!r}: write cpu, disk, cuda:1 or a GPU's number")
        _need_accelerate()
        return None, dict(device_map)
    if device_map is not None and str(device_map) not in MAPS and not DEVICE.fullmatch(str(device_map)):
        raise UsageProblem(f"unknown device_map {device_map!r}: write {', '.join(MAPS)} or a mapping of module names")
    chosen = device if device_map is None else device_map
    if chosen is None:
        return None, None
    if str(chosen) in (MAPS if device is None else ("auto",)):
        _need_accelerate()
        return None, str(chosen)
    if not DEVICE.fullmatch(str(chosen)):
        raise UsageProblem(f"unknown device {str(chosen)!r}: write cpu, cuda, cuda:1 or auto")
    return str(chosen), None


def _need_accelerate() -> None:
    try:
        found = version("accelerate")
    except PackageNotFoundError:
        found = None
    wanted = ".".join(map(str, ACCELERATE))
    if found is None:
        raise UsageProblem(
            f"device='auto' and device_map need accelerate>={wanted}: pip install 'interp-assert[large]'"
        )
    if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < ACCELERATE:
        raise UsageProblem(
            f"device='auto' and device_map need accelerate>={wanted}, and {found} is installed: older releases mix up "
            "tied weights that are on disk; pip install -U 'interp-assert[large]'"
        )


def dtype_when_spread(
    tensors: Iterable[Tensor], device_map: DeviceMap, available: int, *, requested: str | None, where: str
) -> str | None:
    """The dtype of a model that is spread: as asked for; on a GPU the checkpoint's own (None); on the CPU float32 if
    1.5 times the weights that stay in memory fit in ``available`` bytes, else bfloat16.

    With ``"auto"`` and its like, weights that do not fit go to the disk. Raises ModelRefused where a mapping puts more
    in memory than fits, or where a single tensor does not.
    """
    tensors = list(tensors)
    largest = max(tensors, key=lambda tensor: tensor.numel)
    need = HEADROOM * weight_bytes([largest], requested or "bfloat16")
    if need > available:
        raise ModelRefused(
            f"{where} does not fit, even with its weights on disk: {HEADROOM} x {largest.name} alone is {human(need)}, "
            f"and {human(available)} of memory are available; free memory or use a machine with more"
        )
    if isinstance(device_map, str):
        if requested is None and not _gpus():
            return "float32" if HEADROOM * weight_bytes(tensors, "float32") <= available else "bfloat16"
        return requested
    resident = [tensor for tensor in tensors if _place_of(tensor.name, device_map) == "cpu"]
    if requested is None and any(_is_gpu(place) for place in device_map.values()):
        fits = HEADROOM * weight_bytes(resident, None) <= available
        return None if fits else choose_dtype(resident, available, requested="bfloat16", where=where)
    return choose_dtype(resident, available, requested=requested, where=where)


def limits(available: int) -> dict[int | str, int]:
    """How much of each device ``"auto"`` may fill: nine tenths of what is free on a GPU, and what this process may take
    of the memory (its control groups included, which accelerate does not ask) by the headroom.
    """
    from accelerate.utils import get_max_memory

    free = get_max_memory()
    gpus = {place: int(size * SHARE_OF_A_GPU) for place, size in free.items() if place not in ("cpu", "disk")}
    return {**gpus, "cpu": int(available / HEADROOM)}


def _gpus() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _is_gpu(place: Any) -> bool:
    return isinstance(place, int) or str(place) not in ("cpu", "disk")


def _place_of(name: str, device_map: Mapping[str, Any]) -> str:
    """Where a map puts a tensor of the checkpoint: at the longest of its names that the tensor's begins with."""
    fitting = [key for key in device_map if key == "" or name == key or name.startswith(f"{key}.")]
    return str(device_map[max(fitting, key=len)]) if fitting else "cpu"


class OffloadFolder:
    """A private temporary directory for weights that are kept on disk in another form than the checkpoint's; those of
    the checkpoint's own form are read from it. Gone with the module that it belongs to, at the end of the process, or
    when the ``with`` block raises.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="interp-assert-offload-")
        self.path = self._folder.name

    def __enter__(self) -> OffloadFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._folder.cleanup()

    def belongs_to(self, module: torch.nn.Module) -> None:
        """Keep the folder as long as the module, if the module has weights on disk."""
        if any(parameter.is_meta for parameter in module.parameters()):
            weakref.finalize(module, self._folder.cleanup)
        else:
            self._folder.cleanup()


def spread_options(device_map: DeviceMap, folder: OffloadFolder) -> dict[str, Any]:
    """What ``from_pretrained`` is asked for.

    Raises UsageProblem for a device that torch does not have here.
    """
    if isinstance(device_map, str):
        return {
            "device_map": device_map,
            "max_memory": limits(available_memory()),
            "offload_folder": folder.path,
        }
    for place in set(device_map.values()) - {"cpu", "disk"}:
        resolve_device(f"cuda:{place}" if isinstance(place, int) else str(place))
    return {"device_map": dict(device_map), "offload_folder": folder.path}


def refuse_unknown_names(device_map: DeviceMap, module: torch.nn.Module, where: str) -> None:
    """Raise UsageProblem for names in a map that the model does not have: transformers passes over them."""
    if isinstance(device_map, str):
        return
    known = {name for name, _ in (*module.named_modules(), *module.named_parameters(remove_duplicate=False))}
    unknown = sorted(set(device_map) - known)
    if unknown:
        raise UsageProblem(
            f"{where} has no module {unknown[0]!r}, which device_map names; its own are "
            f"{', '.join(name for name, _ in module.named_children())} and what is in them"
        )


def refuse_placing(error: Exception, placing: Mapping[str, Any], where: str) -> None:
    """Raise what is wrong with the map or the offload folder, if that is what an error of transformers speaks of."""
    text = " ".join(str(error).split())
    if "device_map" in text:
        raise UsageProblem(f"{where}: transformers does not take this device_map: {text[:300]}") from error
    if "No space left" in text or getattr(error, "errno", None) == errno.ENOSPC:
        raise ModelRefused(
            f"{where}: there is no room in {placing['offload_folder']} for the weights that go to disk in another form "
            "than the checkpoint's; set TMPDIR to a directory with room"
        ) from error
