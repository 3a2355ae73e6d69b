"""Hooks of interp-assert that a conftest.py or another plugin can implement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from interp_suites import Suite


@pytest.hookspec
def pytest_interp_suites(config: pytest.Config) -> Iterable[Suite]:  # type: ignore[empty-body]
    """Called once, when options are checked: return further ``interp_suites.Suite`` objects to be collected beside
    the shipped ones."""
