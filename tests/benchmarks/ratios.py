"""Ratios of two computations measured in turns within one run.

What is compared is CPU time on one thread: on a busy machine wall time measures the neighbours, and threads that wait
for each other count as work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def ratio_in_turns(
    slow: Callable[[], Any], plain: Callable[[], Any], *, rounds: int = 7
) -> tuple[float, dict[str, Any]]:
    """Median over the rounds of CPU time(slow) / CPU time(plain), each pair back to back; and the facts behind it."""
    pairs = []
    with one_thread():
        slow(), plain()  # warm-up
        for number in range(rounds):
            times = {}
            for work in (slow, plain) if number % 2 else (plain, slow):
                started = time.process_time()
                work()
                times[work] = time.process_time() - started
            pairs.append((times[slow], times[plain]))
    ratio = statistics.median(left / right for left, right in pairs)
    return ratio, {
        "ratio": round(ratio, 3),
        "rounds": rounds,
        "plain_median_s": round(statistics.median(right for _, right in pairs), 4),
        "median_s": round(statistics.median(left for left, _ in pairs), 4),
    }
