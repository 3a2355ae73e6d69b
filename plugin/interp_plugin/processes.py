"""Which process of a run this is: the only one, the controller of pytest-xdist, or one of its workers."""

from __future__ import annotations

import pytest

__all__ = ["is_distributed", "is_worker"]


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist: it runs tests, and the controller reports."""
    return hasattr(config, "workerinput")


def is_distributed(config: pytest.Config) -> bool:
    """Whether this process is the controller of xdist: it hands out tests and collects none."""
    return not is_worker(config) and config.pluginmanager.has_plugin("xdist") and config.getoption("dist", "no") != "no"
