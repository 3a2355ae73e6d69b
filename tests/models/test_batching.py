"""Rows in batches: every row once, in order, never padded, and halved when memory runs out."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from interp_assert import Model, wrap
from interp_assert.errors import EmptyBatch, OutOfMemory, UsageProblem
from interp_assert.models import BatchHalved, for_batches

from .tiny_models import llama

ROWS = [[7] * (3 + i % 3) + [i] for i in range(20)]


@pytest.fixture
def model() -> Model:
    return wrap(llama(), id="tiny")


def last(ids: torch.Tensor) -> torch.Tensor:
    return ids[:, -1]


def test_results_come_in_the_order_of_the_rows(model: Model) -> None:
    model.batch_tokens = 12
    sizes = []

    def run(ids: torch.Tensor) -> Any:
        sizes.append(tuple(ids.shape))
        return last(ids), {"length": [ids.shape[1]] * len(ids)}

    results = for_batches(model, ROWS, run)
    assert [int(token) for token, _ in results] == list(range(20))
    assert [entry["length"] for _, entry in results] == [len(row) for row in ROWS]
    assert all(batch * length <= 12 for batch, length in sizes)
    assert len(sizes) < len(ROWS)
    assert for_batches(model, ROWS, lambda ids: None) == [None] * 20


def test_a_row_longer_than_the_budget_goes_alone(model: Model) -> None:
    model.batch_tokens = 2
    assert [int(token) for token in for_batches(model, ROWS, last)] == list(range(20))


def test_batches_yields_every_row_once(model: Model) -> None:
    model.batch_tokens = 10
    seen = [
        (index, row.tolist()) for indices, ids in model.batches(ROWS) for index, row in zip(indices, ids, strict=True)
    ]
    assert sorted(seen) == list(enumerate(ROWS))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 123 bytes."),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_the_batch_and_says_so(model: Model, error: BaseException) -> None:
    model.batch_tokens = 64

    def run(ids: torch.Tensor) -> torch.Tensor:
        if len(ids) > 3:
            raise error
        return last(ids)

    with pytest.warns(BatchHalved, match=r"tiny: 7 rows of 4 tokens do not fit .* going on with 3") as caught:
        results = for_batches(model, ROWS, run)
    assert [int(token) for token in results] == list(range(20))
    assert len(caught) == 1, "later batches start from the size that fitted"
    assert model.batch_tokens == 64


def test_a_single_row_that_does_not_fit(model: Model) -> None:
    def run(ids: torch.Tensor) -> None:
        raise MemoryError("no")

    with pytest.warns(BatchHalved), pytest.raises(OutOfMemory, match="single row of 4 tokens"):
        for_batches(model, ROWS, run)


def test_other_errors_pass_and_memory_is_not_blamed(model: Model) -> None:
    def run(ids: torch.Tensor) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match="mat1"):
            for_batches(model, ROWS, run)


def test_bad_batches(model: Model) -> None:
    with pytest.raises(EmptyBatch):
        for_batches(model, [], last)
    with pytest.raises(EmptyBatch, match="row 1"):
        for_batches(model, [[1], []], last)
    with pytest.raises(ValueError, match="one for each row"):
        for_batches(model, ROWS, lambda ids: [1])
    for value in (0, -1, 1.5, True):
        with pytest.raises(UsageProblem, match="batch_tokens"):
            model.batch_tokens = value  # type: ignore[assignment]
