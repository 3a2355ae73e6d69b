"""How many threads a model gets: small ones one, others what there is, workers of pytest-xdist their share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from interp_fixtures import loaded

BIG = 100 * loaded.SMALL


@pytest.fixture
def seven(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch has seven threads of its own accord, on eight cores, in a run without xdist."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(loaded, "CORES", 8)
    before = torch.get_num_threads()
    torch.set_num_threads(7)
    loaded._threads_before.cache_clear()
    loaded._threads_before()
    yield
    torch.set_num_threads(before)
    loaded._threads_before.cache_clear()


@pytest.mark.usefixtures("seven")
class TestThreads:
    def test_a_small_model_gets_one_and_a_larger_one_after_it_all(self) -> None:
        loaded.set_threads(loaded.SMALL)
        assert torch.get_num_threads() == 1
        loaded.set_threads(BIG)
        assert torch.get_num_threads() == 7

    def test_workers_share_the_cores(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
        loaded.set_threads(BIG)
        assert torch.get_num_threads() == 4

    def test_the_users_own_number_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
        loaded.set_threads(1)
        assert torch.get_num_threads() == 7
