"""With the plugin installed and unused, a pytest run pays for no import of anything heavy."""

from __future__ import annotations

import json

import pytest

HEAVY = (
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "yaml",
    "tabulate",
    "pydantic",
    "tokenizers",
    "tqdm",
    "interp_assert",
)

PROBE = """
import json, sys, pathlib

def pytest_unconfigure():
    pathlib.Path("modules.json").write_text(json.dumps(sorted(sys.modules)))
"""


def modules_after(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """What has been imported when a run ends. (hypothesis imports numpy's neighbours by itself: it is left out.)"""
    result = pytester.runpytest_subprocess(
        "-p", "no:hypothesispytest", "-p", "no:benchmark", "-p", "no:xdist", *arguments
    )
    assert result.ret == 0
    return list(json.loads((pytester.path / "modules.json").read_text()))


class TestAnUnusedPlugin:
    @pytest.fixture
    def modules(self, pytester: pytest.Pytester) -> list[str]:
        pytester.makeconftest(PROBE)
        pytester.makepyfile("def test_nothing(tmp_path): pass")
        return modules_after(pytester)

    def test_imports_nothing_heavy(self, pytester: pytest.Pytester, modules: list[str]) -> None:
        assert not [name for name in modules if name.split(".")[0] in HEAVY]
        beside_others = pytester.runpytest_subprocess()
        assert beside_others.ret == 0
        after = json.loads((pytester.path / "modules.json").read_text())
        assert not [name for name in after if name.split(".")[0] in HEAVY]

    def test_imports_few_modules_of_its_own(self, modules: list[str]) -> None:
        own = [name for name in modules if name.split(".")[0].startswith("interp_")]
        assert own == [
            "interp_fixtures",
            "interp_fixtures.claims",
            "interp_fixtures.data",
            "interp_fixtures.model",
            "interp_plugin",
            "interp_plugin.activation",
            "interp_plugin.newhooks",
            "interp_plugin.options",
            "interp_plugin.processes",
        ]

    def test_stays_light_beside_a_gate_that_was_not_asked_for(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(PROBE)
        pytester.makepyfile(test_it="def test_nothing(): pass")
        (pytester.path / "release.interp.yaml").touch()
        assert not [name for name in modules_after(pytester, "test_it.py") if name.split(".")[0] in HEAVY]

    def test_brings_in_no_further_module_of_the_standard_library(
        self, pytester: pytest.Pytester, modules: list[str]
    ) -> None:
        without = modules_after(pytester, "-p", "no:interp")
        extra = [name for name in set(modules) - set(without) if not name.startswith("interp_")]
        assert not extra

    def test_shows_its_fixtures_without_importing_more(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest(PROBE)
        assert not [name for name in modules_after(pytester, "--fixtures") if name.split(".")[0] in HEAVY]
