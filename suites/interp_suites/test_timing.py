"""Timing: what looking inside costs, next to the plain forward pass of the same run. Measures, decides nothing.

Asked for by name: ``--interp-suites=timing``. Each round times the plain forward passes right before the method, so
that ratios hold on a busy machine too; wall times compare only on one machine (``--benchmark-autosave``,
``--benchmark-compare``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

from interp_assert import Model

ROUNDS, WARMUP = 7, 2
ROWS, LENGTH = 8, 64
CLUSTERS = 16


def test_plain_forward(interp_model: Model, benchmark: Any) -> None:
    """The model alone, logits at every position: what all other times are compared with."""
    ids = random_ids(interp_model)
    compare(benchmark, interp_model, plain(interp_model, [ids]), plain(interp_model, [ids]), tokens=ids.numel())


def test_traced_forward(interp_model: Model, benchmark: Any) -> None:
    """One traced pass that reads the residual stream after every block."""
    ids = random_ids(interp_model)
    sites = [f"blocks.{i}.resid_post" for i in range(interp_model.anatomy.n_blocks)]

    def traced() -> None:
        interp_model.trace(ids, read=sites)

    compare(benchmark, interp_model, traced, plain(interp_model, [ids]), tokens=ids.numel())


def test_induction_measurement(interp_model: Model, benchmark: Any) -> None:
    """One measurement as ``assert_induction`` makes it, next to the bare forward passes over the same prompts."""
    from interp_assert.measures import measure_induction
    from interp_assert.prompts import RepeatedTokenStream, token_pool

    clusters = RepeatedTokenStream(token_pool(interp_model)).take(0, CLUSTERS)
    rows = [row for cluster in clusters for row in (cluster.repeated, cluster.shuffled, cluster.unrepeated)]
    batches = [ids for _, ids in interp_model.batches(rows)]

    def measured() -> None:
        measure_induction(interp_model, clusters)

    tokens = sum(len(row) for row in rows)
    compare(benchmark, interp_model, measured, plain(interp_model, batches), tokens=tokens)


def compare(benchmark: Any, model: Model, method: Callable[[], None], bare: Callable[[], None], *, tokens: int) -> None:
    """Time ``method``, and ``bare`` before each of its rounds; facts go to ``extra_info``."""
    import torch

    if benchmark.disabled:
        why = "xdist" if "PYTEST_XDIST_WORKER" in os.environ else "--benchmark-disable"
        pytest.skip(f"not measured ({why})")
    bare_seconds: list[float] = []

    def time_bare() -> None:
        started = time.perf_counter()
        finished(model, bare)
        bare_seconds.append(time.perf_counter() - started)

    benchmark.group = f"interp {model.id}"
    benchmark.pedantic(lambda: finished(model, method), setup=time_bare, rounds=ROUNDS, warmup_rounds=WARMUP)
    seconds = benchmark.stats.stats.median
    benchmark.extra_info.update(
        model=model.id,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        tokens=tokens,
        tokens_per_second=round(tokens / seconds, 1),
        plain_seconds=median(bare_seconds[WARMUP : WARMUP + ROUNDS]),
        ratio_to_plain=round(seconds / median(bare_seconds[WARMUP : WARMUP + ROUNDS]), 3),
    )


def plain(model: Model, batches: list[Any]) -> Callable[[], None]:
    """Bare forward passes over batches of ids (batch, pos)."""
    import torch

    def run() -> None:
        with torch.no_grad():
            for ids in batches:
                model.forward(ids)

    return run


def random_ids(model: Model) -> Any:
    """The same random ids (batch, pos) for every round, as long as the context allows."""
    import torch

    length = min(LENGTH, model.max_positions or LENGTH)
    drawn = torch.randint(model.vocab_size, (ROWS, length), generator=torch.Generator().manual_seed(0))
    return drawn.to(model.device)


def finished(model: Model, run: Callable[[], None]) -> None:
    """Run, and wait for a device that works on its own."""
    import torch

    run()
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
