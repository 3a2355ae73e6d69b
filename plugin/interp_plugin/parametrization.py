"""One test per model: ``interp_model`` is parametrised indirectly, for shipped suites and users' tests alike."""

from __future__ import annotations

import pytest

from interp_fixtures.settings import ModelChoice, settings_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["model_of", "parametrize_models", "uses_base", "uses_model"]


def uses_model(item: pytest.Item) -> bool:
    """Whether a test needs a model under test, or the base."""
    return "interp_model" in getattr(item, "fixturenames", ()) or uses_base(item)


def uses_base(item: pytest.Item) -> bool:
    """Whether a test compares with the base model."""
    return "interp_base" in getattr(item, "fixturenames", ())


def model_of(item: pytest.Item) -> str | None:
    """The label of the model that a test was parametrised with, if it was."""
    callspec = getattr(item, "callspec", None)
    choice = None if callspec is None else callspec.params.get("interp_model")
    return choice.label if isinstance(choice, ModelChoice) else None


def parametrize_models(metafunc: pytest.Metafunc) -> None:
    """Run the test once for each model under test.

    Leaves a test alone that names its models itself (``@pytest.mark.parametrize("interp_model", [...],
    indirect=True)``) or sees a fixture ``interp_model`` of the user's own that does not build on ours. A test of a gate
    runs on the gate's models, and a fixture in place of ours leaves it without any.
    """
    gate = next((node for node in metafunc.definition.listchain() if hasattr(node, "choices")), None)
    if gate is not None:
        chosen = gate.choices(metafunc.definition.originalname)
        definition = metafunc.definition._fixtureinfo.name2fixturedefs["interp_model"][-1]
        if definition.func.__module__ == "interp_fixtures.model":
            _parametrize_gate(metafunc, chosen)
        return
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if "interp_model" in (names.replace(" ", "").split(",") if isinstance(names, str) else names):
            return
    definitions = metafunc.definition._fixtureinfo.name2fixturedefs.get("interp_model", ())
    for definition in reversed(definitions):
        if definition.func.__module__ == "interp_fixtures.model":
            models = settings_of(metafunc.config).under_test
            metafunc.parametrize(
                "interp_model", models, indirect=True, scope="session", ids=[model.label for model in models]
            )
            return
        if "interp_model" not in definition.argnames:
            return


def _parametrize_gate(metafunc: pytest.Metafunc, chosen: Sequence[tuple[ModelChoice, ModelChoice | None]]) -> None:
    ids = [model.label for model, _ in chosen]
    if "interp_base" in metafunc.fixturenames:
        metafunc.parametrize("interp_model,interp_base", chosen, indirect=True, scope="session", ids=ids)
    else:
        models = [model for model, _ in chosen]
        metafunc.parametrize("interp_model", models, indirect=True, scope="session", ids=ids)
