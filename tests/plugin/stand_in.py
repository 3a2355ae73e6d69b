"""A stand-in for models and suites, so that the mechanics of the plugin can be tested without torch.

Used as the conftest.py of a pytester directory. It adds the suite ``toy`` through the plugin's own hook, and models
that cost nothing: ``zoo:alpha`` and the like. ``toy.json`` says what a claim decides: ``{"zoo:alpha": "FAIL"}``, else
PASS. Every loading is noted in ``loads.txt``, with the worker that did it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from interp_suites import Suite

HERE = Path(__file__).parent


class ToyModel:
    """Knows its name, and what its files hold: ``changed`` in the directory stands for new weights."""

    anatomy = None
    opened = True
    n_parameters = 3412992
    batch_tokens = 8192

    def __init__(self, id: str, device: str | None = None) -> None:
        self.id = id
        self.on_disk = self.n_parameters // 4 * 3 if device == "auto" else 0
        with (HERE / "loads.txt").open("a") as log:
            log.write(f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')} {id}\n")

    def provenance(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": "zoo",
            "revision": None,
            "sha256": hashlib.sha256(self.id.encode()).hexdigest(),
            "architecture": "toy",
            "n_parameters": self.n_parameters,
            "dtype": "float32",
            "device": "cpu",
            "weights_at": {"cpu": self.n_parameters - self.on_disk, **({"disk": self.on_disk} if self.on_disk else {})},
            "torch_threads": 1,
        }

    def verify_unchanged(self) -> None:
        from interp_assert.errors import ModelChanged

        if (HERE / "changed").exists():
            raise ModelChanged(f"{self.id}: model.safetensors changed since the model was opened")


def toy_load(id: str, *, device: str | None, **_: Any) -> ToyModel:
    return ToyModel(importlib.import_module("interp_assert.models").parse_id(id).id, device)


def toy_preflight(id: str, **_: Any) -> None:
    from interp_assert.errors import ModelNotFound

    with (HERE / "preflights.txt").open("a") as log:
        log.write(f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')} {id}\n")
    if "missing" in id:
        raise ModelNotFound(f"no model {id!r}:\nthe zoo has alpha")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    models = importlib.import_module("interp_assert.models")
    config.add_cleanup(_put_back(models, load=toy_load, preflight=toy_preflight))


def _put_back(module: Any, **replacements: Any) -> Any:
    before = {name: getattr(module, name) for name in replacements}
    vars(module).update(replacements)
    return lambda: vars(module).update(before)


def pytest_interp_suites() -> list[Suite]:
    return [
        Suite("toy", "toy_suite", checks=("toy/claim", "toy/other")),
        Suite("gauge", "toy_gauge", by_name_only=True),
    ]


def decide(model: Any, check: str, floor: float | None, settings: dict[str, Any]) -> Any:
    """What an assertion does: reach a verdict, hand it to whoever listens, raise unless it is PASS."""
    from interp_assert.assertions.errors import InterpAssertionError, NotApplicable
    from interp_assert.assertions.recording import record
    from interp_assert.stats import ControlResult, Cost, Measurement, Outcome, Verdict

    said = json.loads((HERE / "toy.json").read_text()) if (HERE / "toy.json").exists() else {}
    outcome = Outcome(said.get(f"{model.id} {check}", said.get(model.id, "PASS")))
    verdict = Verdict(
        check=check,
        outcome=outcome,
        model=model.id,
        layer="block 3",
        claim="the toy works",
        estimate=0.981,
        interval=(0.9, float("inf")),
        n=settings["budget"].clusters,
        threshold=floor if floor is not None else 0.05,
        direction="higher",
        levels=settings["levels"],
        controls=(ControlResult("twins", Outcome.PASS, 0.1, (0.0, 0.2), 0.5, 128),),
        details={"seed": settings["seed"], "token": "\x1b[31m<b>::error"},
        cost=Cost(forward_passes=7, tokens=280, seconds=0.25),
        measurements=(Measurement("toy/score", 1, ("a", "b", "c"), [0.9, 1.0, 1.0], 0, 1, "share", "higher"),),
        reason="" if outcome is Outcome.PASS else f"the toy says {outcome} \x1b[31m",
    )
    record(verdict)
    if outcome is Outcome.PASS:
        return verdict
    raise (NotApplicable if outcome is Outcome.NOT_APPLICABLE else InterpAssertionError)(verdict)
