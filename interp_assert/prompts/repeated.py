"""Random tokens said twice, and the same row with its second part shuffled or replaced: an endless seeded stream of
clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import UsageProblem
from .pool import TokenPool

__all__ = ["PoolTooSmall", "RepeatedTokenStream", "RepeatedTokens"]


class PoolTooSmall(UsageProblem):
    """The vocabulary has fewer ordinary ids than one cluster needs."""


@dataclass(frozen=True)
class RepeatedTokens:
    """One cluster: three rows ``[bos?] + first copy (n) + second part (n)`` with the same first copy of n distinct ids.

    Attributes:
        id: stable name of the cluster; the same seed, n and index give the same name and, over the same pool, the
            same rows.
        n: distinct tokens per copy.
        bos: the id in front of each row, or None.
        repeated: second part = the first copy again.
        shuffled: second part = the same ids, each once, in an order without any bigram of the first copy. So a model
            that continues as the first copy did is never right by accident, while one that only knows which ids it
            has seen, or has not yet seen twice, does exactly as well as on ``repeated``.
        unrepeated: second part = n further ids, none of which occurs in the first copy.
    """

    id: str
    n: int
    bos: int | None
    repeated: tuple[int, ...]
    shuffled: tuple[int, ...]
    unrepeated: tuple[int, ...]

    @property
    def offset(self) -> int:
        """Position of the first token of the first copy: 1 with BOS, else 0."""
        return 0 if self.bos is None else 1


class RepeatedTokenStream:
    """Cluster k depends on (pool, seed, n, k) only, so a larger budget resumes the same stream.

    Raises UsageProblem for n < 2 or a negative seed, PoolTooSmall if the pool has fewer than 2n ids.
    """

    def __init__(self, pool: TokenPool, n: int = 20, seed: int = 0) -> None:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 2:
            raise UsageProblem(
                f"n = {n!r} tokens per copy: n must be an integer >= 2, "
                "because the first token of the second copy is not scored"
            )
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise UsageProblem(f"seed = {seed!r}: a seed is an integer >= 0")
        if len(pool) < 2 * n:
            raise PoolTooSmall(
                f"n = {n} needs 2n = {2 * n} distinct ordinary token ids, the vocabulary has {len(pool)} "
                f"({pool.note}); use n <= {len(pool) // 2}"
            )
        self.pool = pool
        self.n = int(n)
        self.seed = int(seed)

    def take(self, start: int, count: int) -> list[RepeatedTokens]:
        """Clusters start .. start + count - 1."""
        return [self._cluster(k) for k in range(start, start + count)]

    def _cluster(self, k: int) -> RepeatedTokens:
        rng = np.random.default_rng([self.seed, self.n, k])
        drawn = self.pool.ids[_distinct(rng, len(self.pool), 2 * self.n)]
        first, fresh = drawn[: self.n], drawn[self.n :]
        shuffled = first[_order_without_successions(rng, self.n)]
        head = () if self.pool.bos is None else (self.pool.bos,)

        def row(second: np.ndarray) -> tuple[int, ...]:
            return (*head, *first.tolist(), *second.tolist())

        name = f"repeated/n={self.n}/seed={self.seed}/{k}"
        return RepeatedTokens(name, self.n, self.pool.bos, row(first), row(shuffled), row(fresh))


def _distinct(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    """``count`` distinct indices below ``size``: a Fisher-Yates shuffle cut short.

    Written out so that it rests on ``Generator.random`` alone: numpy may change how ``choice`` draws, and a seed must
    replay.
    """
    moved: dict[int, int] = {}
    out = np.empty(count, dtype=np.int64)
    for i, u in enumerate(rng.random(count)):
        j = i + int(u * (size - i))
        out[i] = moved.get(j, j)
        moved[j] = moved.get(i, i)
    return out


def _order_without_successions(rng: np.random.Generator, n: int) -> np.ndarray:
    """A uniformly random order of 0 .. n-1 in which no i is followed by i + 1 (about e tries)."""
    while True:
        order = _distinct(rng, n, n)
        if not np.any(np.diff(order) == 1):
            return order
