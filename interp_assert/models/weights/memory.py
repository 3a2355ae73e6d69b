"""Whether the weights fit in memory, decided before loading: an out-of-memory kill on the CPU cannot be caught."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ...errors import ModelRefused, UsageProblem
from ..sources.headers import Tensor

__all__ = ["DTYPES", "HEADROOM", "available_memory", "choose_dtype", "human", "weight_bytes"]

HEADROOM = 1.5
DTYPES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
_ALIASES = {
    "fp64": "float64",
    "fp32": "float32",
    "float": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
}


def dtype_name(dtype: object) -> str | None:
    """The canonical name of a dtype given as a string or a torch.dtype; None for None and ``"auto"``.

    Raises UsageProblem naming the choices.
    """
    if dtype is None or dtype == "auto":
        return None
    name = str(dtype).removeprefix("torch.").lower()
    name = _ALIASES.get(name, name)
    if name not in DTYPES:
        raise UsageProblem(f"unknown dtype {str(dtype)!r}: choose auto, {', '.join(DTYPES)}")
    return name


def weight_bytes(tensors: Iterable[Tensor], dtype: str | None) -> int:
    """Bytes of the weights in memory when the floating ones are loaded as ``dtype`` (None: as they are in the file)."""
    return sum(t.numel * DTYPES[dtype] if dtype and t.floating else t.nbytes for t in tensors)


def choose_dtype(tensors: Iterable[Tensor], available: int, *, requested: str | None, where: str) -> str:
    """The dtype for the CPU: ``requested`` if given, else float32 if 1.5 times the weights fit in ``available`` bytes,
    else bfloat16.

    Raises ModelRefused with the numbers if the dtype asked for, or else bfloat16, does not fit either.
    """
    tensors = list(tensors)
    tried = [requested] if requested else ["float32", "bfloat16"]
    for dtype in tried:
        if HEADROOM * weight_bytes(tensors, dtype) <= available:
            return dtype
    need = HEADROOM * weight_bytes(tensors, tried[-1])
    remedy = (
        "free memory, use a machine with more, or a GPU, or ask for device='auto' (--interp-device auto), which keeps "
        "on disk what does not fit"
    )
    if requested in ("float32", "float64"):
        remedy = f"leave dtype out or ask for bfloat16, {remedy}"
    raise ModelRefused(
        f"{where} does not fit: {HEADROOM} x its weights in {tried[-1]} are {human(need)}, and {human(available)} of "
        f"memory are available; {remedy}"
    )


def available_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process may still take: the system's available memory, and what its control groups leave of their
    limit."""
    return min([_system_available(proc), *_cgroup_available(proc, cgroup)])


def human(count: float) -> str:
    """A number of bytes for people: 1.5 GiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _system_available(proc: Path) -> int:
    meminfo = proc / "meminfo"
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf"):
        # Without a count of what is in use (macOS), half of the machine is a fair guess of what is free.
        names = os.sysconf_names
        if "SC_AVPHYS_PAGES" in names:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        if "SC_PHYS_PAGES" in names:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return 1 << 62  # unknown: then the limit is the operating system's own


def _cgroup_available(proc: Path, cgroup: Path) -> list[int]:
    """What each control group above this process leaves of its limit (version 2 and version 1)."""
    membership = proc / "self" / "cgroup"
    if not membership.is_file():
        return []
    left = []
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, usage, cache = cgroup, "memory.max", "memory.current", "inactive_file "
        elif "memory" in controllers.split(","):
            root, limit, usage = cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file "
        else:
            continue
        group = root / path.lstrip("/")
        while group == root or root in group.parents:
            bound, used = _read_number(group / limit), _read_number(group / usage)
            if bound is not None and used is not None:
                left.append(max(0, bound - used + _reclaimable(group / "memory.stat", cache)))
            if group == root:
                break
            group = group.parent
    return left


def _reclaimable(stat: Path, key: str) -> int:
    # Pages of files read long ago count as used, but the kernel gives them up on demand.
    if not stat.is_file():
        return 0
    return sum(int(line[len(key) :]) for line in stat.read_text().splitlines() if line.startswith(key))


def _read_number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max": no limit
