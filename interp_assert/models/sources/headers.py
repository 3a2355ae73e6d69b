"""What a safetensors file holds, told from its header, and whether the file is whole; without torch."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ModelBroken

__all__ = ["Tensor", "tensors_of"]

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
