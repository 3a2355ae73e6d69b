"""Workers of pytest-xdist share the cores instead of each taking all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from interp_fixtures.loaded import share_the_cores


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(7)
    yield 7
    torch.set_num_threads(before)


def test_a_worker_takes_its_share(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    share_the_cores()
    assert torch.get_num_threads() == max(1, (os.cpu_count() or 1) // 2)


@pytest.mark.parametrize(("name", "value"), [("OMP_NUM_THREADS", "7"), ("PYTEST_XDIST_WORKER_COUNT", "1")])
def test_a_single_process_and_the_users_own_number_are_left_alone(
    threads: int, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    monkeypatch.setenv(name, value)
    share_the_cores()
    assert torch.get_num_threads() == threads
