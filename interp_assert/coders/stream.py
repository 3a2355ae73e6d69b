"""Activations on their way from a model to the coders in training: each document is read once while it may be, in a
buffer of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..errors import NonFiniteMeasurement, UsageProblem
from .reading import SiteReader

__all__ = ["BUFFER_ELEMENTS", "ActivationStream", "NothingVaries"]

BUFFER_ELEMENTS = {"cpu": 2**26, "accelerator": 2**29}
"""numbers that a buffer may hold: 256 MiB of float32 on the CPU, 2 GiB on an accelerator"""


_ROUNDING = 4.0
"""units in the last place of its mean by which a dimension has to vary to be more than rounding"""


class NothingVaries(UsageProblem):
    """A site has the same value on every token: there is no variance that could be explained."""


class ActivationStream:
    """Batches of one site's vectors in random order, the same for all coders that are trained on them.

    1. Made with the documents; they are put into a seeded order.
    2. Documents are read until the buffer is full, or all of them are in it. ``mean`` (d_in,), ``scale`` and samples
       are of what is in it then.
    3. ``batches`` draws from the buffer. If all documents are in it the model is not asked again, whatever the number
       of steps. Else half of the buffer at a time is used up and filled with what comes next; after the last document
       comes the first.

    A batch of more vectors than the buffer holds has some of them several times.

    Raises UsageProblem if nothing in the documents counts, NothingVaries if no activation varies by more than rounding
    makes it.
    """

    def __init__(self, reader: SiteReader, rows: Sequence[Sequence[int]], *, seed: int, elements: int | None = None):
        self.reader, self.seed = reader, seed
        order = np.random.default_rng([seed, 0x57E4]).permutation(len(rows))
        self.rows = [rows[int(i)] for i in order]
        device = reader.model.device
        allowed = elements or BUFFER_ELEMENTS["cpu" if device.type == "cpu" else "accelerator"]
        self.capacity = max(2, allowed // reader.d_in)
        self._generator = torch.Generator()
        self._coming = self._endless()
        self._over = torch.empty(0, reader.d_in, device=device)
        self._whole = False
        self.buffer = self._fill()
        self.mean, self.scale = self._moments()

    @property
    def vectors(self) -> int:
        """Vectors in the buffer: all of the documents', or as many as it holds."""
        return len(self.buffer)

    def sample(self, elements: int) -> torch.Tensor:
        """(n, d_in) of the first vectors read, of together at most so many numbers."""
        return self.buffer[: max(1, elements // self.reader.d_in)]

    def batches(self, size: int, steps: int) -> Iterator[torch.Tensor]:
        """``steps`` batches (size, d_in), in an order that depends on the seed only."""
        self._generator.manual_seed(self.seed)
        waiting = self._shuffled(len(self.buffer))
        for _ in range(steps):
            while len(waiting) < size:
                waiting = torch.cat([waiting, self._again(waiting)])
            yield self.buffer[waiting[:size].to(self.buffer.device)]
            waiting = waiting[size:]

    def _again(self, waiting: torch.Tensor) -> torch.Tensor:
        """Places to draw from next: all once more, or those used up after they were filled anew."""
        if self._whole:
            return self._shuffled(len(self.buffer))
        used = torch.ones(len(self.buffer), dtype=torch.bool)
        used[waiting] = False
        free = used.nonzero()[:, 0]
        if len(free) == 0:  # all are in the batch that is being drawn already
            return self._shuffled(len(self.buffer))
        free = free[self._shuffled(len(free))][: max(1, len(self.buffer) // 2)]
        start = 0
        while start < len(free):
            new = self._next()[: len(free) - start]
            self.buffer[free[start : start + len(new)].to(self.buffer.device)] = new
            self._over = self._over[len(new) :]
            start += len(new)
        return free

    def _fill(self) -> torch.Tensor:
        parts: list[torch.Tensor] = []
        room = self.capacity
        while room and not self._whole:
            vectors = next(self._coming)
            if vectors is None:
                self._whole = True
                break
            parts.append(vectors[:room])
            self._over = vectors[room:].clone()
            room -= len(parts[-1])
        if self.capacity - room < 2:
            raise UsageProblem(
                f"{self.reader.model.id}: the documents to train on hold {self.capacity - room} tokens that count (the "
                "first of each and special ones do not); give longer documents"
            )
        return torch.cat(parts)

    def _next(self) -> torch.Tensor:
        while len(self._over) == 0:
            vectors = next(self._coming)
            self._over = self._over if vectors is None else vectors
        return self._over

    def _endless(self) -> Iterator[torch.Tensor | None]:
        """Vectors of the documents in their order, piece by piece; None after the last; then from the first again."""
        while True:
            for piece in self.reader.read(self.rows):
                yield torch.cat(piece)
            yield None

    def _moments(self) -> tuple[torch.Tensor, float]:
        """The mean (d_in,), and the root of the mean variance, in float64."""
        total = torch.zeros(self.reader.d_in, dtype=torch.float64, device=self.buffer.device)
        for part in self.buffer.split(max(1, 2**22 // self.reader.d_in)):
            total += part.double().sum(0)
        mean = total / len(self.buffer)
        squares = torch.zeros_like(mean)
        for part in self.buffer.split(max(1, 2**22 // mean.numel())):
            squares += (part.double() - mean).square().sum(0)
        scale = float(squares.mean() / len(self.buffer)) ** 0.5
        if not np.isfinite(scale):
            raise NonFiniteMeasurement(f"{self.reader.model.id}: the variance of {self.reader.site} is {scale}")
        rounding = _ROUNDING * torch.finfo(self.reader.dtype).eps * mean.abs()
        if not bool(((squares / len(self.buffer)).sqrt() > rounding).any()):
            raise NothingVaries(
                f"{self.reader.model.id}: {self.reader.site} is the same on all {len(self.buffer)} tokens read; there "
                "is nothing to explain"
            )
        return mean, scale

    def _shuffled(self, count: int) -> torch.Tensor:
        return torch.randperm(count, generator=self._generator)
