"""One device to run on: how it is written, and whether it is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...errors import UsageProblem

if TYPE_CHECKING:
    import torch

__all__ = ["DEVICE", "resolve_device"]

DEVICE = re.compile(r"(cpu|cuda|mps|xpu|hpu|npu)(:\d+)?")


def resolve_device(device: str | None) -> torch.device:
    """The device asked for; by default the first CUDA device if there is one, else the CPU.

    Raises UsageProblem for a device that torch does not have here.
    """
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise UsageProblem(f"unknown device {device!r}: write cpu, cuda, cuda:1 or auto") from error
    backend = {"cuda": torch.cuda, "mps": torch.backends.mps}.get(resolved.type)
    if resolved.type == "cpu":
        return resolved
    if backend is None or not backend.is_available():
        raise UsageProblem(
            f"device {device!r} asked for, but this torch ({torch.__version__}) sees none here; leave device out or "
            "write cpu"
        )
    if resolved.type == "cuda" and resolved.index is not None and resolved.index >= torch.cuda.device_count():
        raise UsageProblem(f"device {device!r} asked for, but there are {torch.cuda.device_count()} CUDA devices")
    return resolved
