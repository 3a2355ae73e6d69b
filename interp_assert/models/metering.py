"""What measuring costs: forward passes, tokens, seconds and peak memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    import torch

    from ..stats import Cost

__all__ = ["Meter", "MeteredSpan"]


@dataclass
class Meter:
    """Running counts of one model; tokens are batch times positions."""

    forward_passes: int = 0
    tokens: int = 0

    def count(self, batch: int, positions: int) -> None:
        """Record one forward pass over (batch, positions) ids."""
        self.forward_passes += 1
        self.tokens += batch * positions


class MeteredSpan:
    """The cost of a ``with`` block: its attributes are live within the block and fixed once it ends.

    ``peak_memory`` in bytes: on GPUs the most that torch had allocated during the span, summed over those in use; on
    the CPU by how much the process's greatest resident size has grown, so 0 where an earlier step already needed more.
    """

    def __init__(self, meter: Meter, gpus: Callable[[], Sequence[torch.device]]) -> None:
        self._meter = meter
        self._find_gpus = gpus
        self._final: Cost | None = None

    def __enter__(self) -> MeteredSpan:
        self._passes, self._tokens = self._meter.forward_passes, self._meter.tokens
        self._gpus = self._find_gpus()
        for gpu in self._gpus:
            import torch

            torch.cuda.reset_peak_memory_stats(gpu)
        self._resident = 0 if self._gpus else _greatest_resident_size()
        self._started = time.perf_counter()
        self._final = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._final = self._now()

    @property
    def cost(self) -> Cost:
        """The cost so far, or of the whole span once it has ended."""
        return self._final or self._now()

    @property
    def forward_passes(self) -> int:
        """Number of forward passes."""
        return self.cost.forward_passes

    @property
    def tokens(self) -> int:
        """Number of tokens read by the model."""
        return self.cost.tokens

    @property
    def seconds(self) -> float:
        """Wall time in seconds."""
        return self.cost.seconds

    @property
    def peak_memory(self) -> int:
        """Bytes; see the class."""
        return self.cost.peak_memory

    def _now(self) -> Cost:
        from ..stats import Cost

        peak = 0 if self._gpus else max(0, _greatest_resident_size() - self._resident)
        for gpu in self._gpus:
            import torch

            torch.cuda.synchronize(gpu)
            peak += torch.cuda.max_memory_allocated(gpu)
        return Cost(
            forward_passes=self._meter.forward_passes - self._passes,
            tokens=self._meter.tokens - self._tokens,
            seconds=time.perf_counter() - self._started,
            peak_memory=peak,
        )


def _greatest_resident_size() -> int:
    try:
        import resource
    except ImportError:  # Windows has no such count
        return 0
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024
