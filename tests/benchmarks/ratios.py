"""Ratios of two computations measured in turns within one run.

What is compared is CPU time on one thread: on a busy machine wall time measures the neighbours, and threads that wait
for each other count as work. Neighbours still cost CPU time, through caches and memory that are shared, and they cost
a pass that fills much memory more than one that does not: they only ever add, so each side is taken at its least. On
two cores that four processes shared, any five rounds of reading Mamba-2's states gave 1.08 so, with a standard
deviation of 0.03 and at most 1.13; the median of the ratios of the five pairs varied by 0.14 and reached 1.66.
"""

from __future__ import annotations

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
    slow: Callable[[], Any], plain: Callable[[], Any], *, rounds: int = 5
) -> tuple[float, dict[str, Any]]:
    """Least CPU time(slow) / least CPU time(plain) over the rounds, which take turns at who is first; and the facts
    behind it."""
    least = {slow: float("inf"), plain: float("inf")}
    with one_thread():
        slow(), plain()  # warm-up
        for number in range(rounds):
            for work in (slow, plain) if number % 2 else (plain, slow):
                started = time.process_time()
                work()
                least[work] = min(least[work], time.process_time() - started)
    ratio = least[slow] / least[plain]
    return ratio, {
        "ratio": round(ratio, 3),
        "rounds": rounds,
        "plain_least_s": round(least[plain], 4),
        "least_s": round(least[slow], 4),
    }
