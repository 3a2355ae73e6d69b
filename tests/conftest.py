"""What all tests share: the reference material beside the checkout where it exists, and runs that know of no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# The models of these tests are tiny: several threads would only wait for each other, long on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["pytester"]

XDIST = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID")
"""What pytest-xdist tells its workers, and through them whatever they start."""

MOST_WORKERS = 8
"""Each worker imports torch and transformers for itself, and holds more than half a gigabyte."""

GITHUB = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE")
"""Where GitHub says that a run is its own: runs inside tests are not."""

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """``-n auto`` is a worker for each core up to ``MOST_WORKERS``, and on a single core no worker at all."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS) if cores > 1 else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("INTERP_CALIBRATION") == "1":
        return
    for item in items:
        if item.get_closest_marker("calibration") is not None:
            item.add_marker(pytest.mark.skip(reason="a long calibration: run it with INTERP_CALIBRATION=1"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ``shared`` beside the checkout; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"the reference material is not beside this checkout ({SHARED.name}/ is missing)")
    return SHARED


@pytest.fixture
def registered_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests of other modules have registered about architectures, in this process, counts for nobody: nothing is
    remembered where something is stated by hand.
    """
    from interp_assert.models.families import origins

    by_hand, before = origins.registered_by_hand, frozenset(origins.registered_by_hand())
    monkeypatch.setattr(origins, "registered_by_hand", lambda: [where for where in by_hand() if where not in before])


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A run inside a test is nobody's worker, also where a worker runs the test."""
    for name in (*XDIST, *GITHUB):
        monkeypatch.delenv(name, raising=False)
    return pytester


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key of the cache is not made in the home directory of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
