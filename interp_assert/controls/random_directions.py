"""Directions that mean nothing, as long as the one that is claimed to mean something (METHODS: C5, C2).

Whatever is added to a residual stream moves some logits; a steering direction has to move its target further than
random directions of the same norm do, and further than what the same recipe makes of classes that are none. (Those
differences keep their own length: brought to that of the real one, the difference of labels dealt out at random lies
along whatever varies most, which may be the real one itself.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageProblem
from ..stats import ControlResult, compare_with_twins

__all__ = ["DIRECTIONS", "beats_directions", "norm_matched"]

DIRECTIONS = 20
"""meaningless directions of each kind: with so few, a t-prediction; a rank test at .01 would need 99"""

Floats = NDArray[np.float64]


def norm_matched(direction: ArrayLike, count: int = DIRECTIONS, *, seed: int = 0) -> Floats:
    """float64 (count, width): directions drawn evenly from all, each as long as ``direction`` (width,).

    Raises UsageProblem for a direction that is zero or not finite.
    """
    given = np.asarray(direction, dtype=np.float64)
    norm = float(np.linalg.norm(given))
    if not np.isfinite(norm) or norm == 0.0:
        raise UsageProblem(f"a direction of norm {norm} has no random directions of the same norm")
    drawn = np.random.default_rng([seed, 0xD15]).normal(size=(count, given.size))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True) * norm)


def beats_directions(
    name: str,
    own: Floats,
    others: Sequence[Floats],
    *,
    level: float,
    fail_level: float | None = None,
    note: str,
    details: dict[str, Any] | None = None,
) -> ControlResult:
    """Is the mean slope ``own.mean()`` out of reach of the mean slopes of meaningless directions on the same prompts?

    A t-prediction for one more of them, spread floored at sampling error; approximate. ``own`` and each of ``others``
    are slopes by cluster (n,). Estimate and threshold are mean slopes; ``details`` hold every one and the rank.
    """
    means = [float(slopes.mean()) for slopes in others]
    score, error = float(own.mean()), _error(own)
    compared = compare_with_twins(
        score,
        means,
        sampling_error=max(error, *(_error(slopes) for slopes in others), 1e-12),
        level=level,
        fail_level=fail_level,
    )
    as_good = sum(mean >= score for mean in means)
    return ControlResult(
        name=name,
        outcome=compared.outcome,
        estimate=score,
        interval=None,
        threshold=max(compared.bound, compared.best_twin),
        n=own.size,
        approximate=True,
        note=note,
        details={
            "slopes": means,
            "mean": compared.twin_mean,
            "spread": compared.twin_spread,
            "as_good": as_good,
            "rank_p": (1 + as_good) / (1 + len(means)),
            **(details or {}),
        },
    )


def _error(slopes: Floats) -> float:
    return float(slopes.std(ddof=1) / np.sqrt(slopes.size)) if slopes.size > 1 else 0.0
