"""The pytest plugin of interp-assert.

This module is imported by every pytest run of an environment in which interp-assert is installed, used or not, so it
and the fixture modules that it names import only pytest and the standard library; each hook fetches what it needs
when it has something to do.
"""

from __future__ import annotations

import pytest

TYPE_CHECKING = False  # typing is not imported for it
if TYPE_CHECKING:
    from pathlib import Path

pytest.register_assert_rewrite("interp_suites")

pytest_plugins = ("interp_fixtures.model", "interp_fixtures.claims", "interp_fixtures.data")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from . import newhooks

    pluginmanager.add_hookspecs(newhooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    from .options import add_options

    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "interp: set by interp-assert on every test that uses interp_model, for -m interp and -m 'not interp'",
    )
    from .activation import begin

    begin(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix not in (".yaml", ".yml"):
        return None
    from .gate_file import gate_file

    return gate_file(file_path, parent)


def pytest_collectstart(collector: pytest.Collector) -> None:
    if collector.path is not None and collector.path.suffix in (".yaml", ".yml"):
        from .gate_file import GateFile, begun

        if isinstance(collector, GateFile):
            begun(collector)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "interp_model" in metafunc.fixturenames:
        from .activation import activate
        from .parametrization import parametrize_models

        activate(metafunc.config)
        parametrize_models(metafunc)
