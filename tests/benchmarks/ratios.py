"""Ratios of two computations timed in turns within one run, so that a busy machine slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def ratio_in_turns(
    slow: Callable[[], Any], plain: Callable[[], Any], *, rounds: int = 7
) -> tuple[float, dict[str, Any]]:
    """Median over the rounds of time(slow) / time(plain), each pair timed back to back; and the facts behind it."""
    slow(), plain()  # warm-up
    pairs = []
    for number in range(rounds):
        order = (slow, plain) if number % 2 else (plain, slow)
        times = {}
        for work in order:
            started = time.perf_counter()
            work()
            times[work] = time.perf_counter() - started
        pairs.append((times[slow], times[plain]))
    ratio = statistics.median(left / right for left, right in pairs)
    return ratio, {
        "ratio": round(ratio, 3),
        "rounds": rounds,
        "plain_median_s": round(statistics.median(right for _, right in pairs), 4),
        "median_s": round(statistics.median(left for left, _ in pairs), 4),
    }
