"""Models whose every measurement is written down, for tests of what is remembered and of baselines.

Used as a module of a pytester directory. ``known.json`` says what each model is: ``{"zoo:alpha": {"weights": "a",
"scores": [...]}}``; a score is that of a cluster. Weights are opened, and forward passes made, in ``passes.txt``, one
line each.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from interp_assert.assertions.asserting import asserted
from interp_assert.assertions.engine import draw_until_decided
from interp_assert.assertions.judging import judged
from interp_assert.assertions.recording import conclude
from interp_assert.models import Model
from interp_assert.models.sources.identity import Identity
from interp_assert.stats import Budget, ErrorLevels, Measurement, SequentialGate
from interp_suites import Suite

HERE = Path(__file__).parent


def known(label: str) -> dict[str, Any]:
    return json.loads((HERE / "known.json").read_text(encoding="utf-8"))[label]


class NoWeights:
    def parameters(self) -> list[Any]:
        return []

    modules = named_modules = parameters


class KnownSource:
    def __init__(self, label: str) -> None:
        self.label = label

    def open_module(self) -> Any:
        note(f"open {self.label}")
        return NoWeights()

    def facts(self) -> dict[str, Any]:
        return {}

    def opening(self) -> dict[str, Any]:
        return {"dtype": None}


class KnownModel(Model):
    anatomy = None  # type: ignore[assignment]
    n_parameters = 1000

    def __init__(self, label: str) -> None:
        said = known(label)
        digest = hashlib.sha256(said["weights"].encode()).hexdigest()
        identity = Identity(label, "zoo", said.get("revision"), digest, {"model.safetensors": digest})
        super().__init__(identity, KnownSource(label))

    def provenance(self) -> dict[str, Any]:
        _ = self.module
        return {
            **self.identity.as_dict(),
            "architecture": "toy",
            "n_parameters": 1000,
            "dtype": known(self.id).get("dtype", "float32"),
            "device": "cpu",
            "torch_threads": 1,
        }

    def verify_unchanged(self) -> None:
        return


def note(line: str) -> None:
    with (HERE / "passes.txt").open("a", encoding="utf-8") as log:
        log.write(line + "\n")


@asserted
def assert_scores(
    model: Model,
    *,
    check: str = "known/score",
    floor: float = 0.3,
    n: int = 1,
    listed: bool = False,
    budget: Budget | int = 128,
    levels: ErrorLevels | None = None,
    seed: int = 0,
) -> Any:
    """Above a floor on average; ``listed`` says that the scores are those of a finite list."""
    said = known(model.id)
    scores = said.get(check, said["scores"])
    levels = levels or ErrorLevels()
    allowed = budget if isinstance(budget, int) else budget.clusters
    gate = SequentialGate(floor, levels=levels, population=len(scores) if listed else None)
    drawn: list[float] = []

    def draw(start: int, count: int) -> None:
        _ = model.module
        note(f"pass {model.id}")
        model.meter.count(count, 1)
        new = [scores[k % len(scores)] for k in range(start, start + count)]
        drawn.extend(new)
        gate.update(new)

    with model.metered() as span:
        at_most = min(allowed, len(scores)) if listed else allowed
        draw_until_decided(check, model.id, first=64, at_most=at_most, draw=draw, outcomes=lambda: [gate.outcome])
    clusters = tuple(f"seed={seed}/{k}" for k in range(len(drawn)))
    names = said.get("clusters", clusters) if listed else clusters
    measured = Measurement(check, said.get("version", 1), tuple(names), drawn, 0, 1, "share", "higher")  # type: ignore[arg-type]
    return conclude(
        judged(
            check,
            model,
            gate,
            (),
            claim="it scores",
            levels=levels,
            details={"seed": seed},
            cost=span.cost,
            measurements=(measured,),
        )
    )


def load(id: str, **_: Any) -> KnownModel:
    return KnownModel(importlib.import_module("interp_assert.models").parse_id(id).id)


def preflight(id: str, **_: Any) -> None:
    known(importlib.import_module("interp_assert.models").parse_id(id).id)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    models: Any = importlib.import_module("interp_assert.models")
    before = {name: getattr(models, name) for name in ("load", "preflight")}
    models.load, models.preflight = load, preflight
    config.add_cleanup(lambda: vars(models).update(before))


def pytest_interp_suites() -> list[Suite]:
    return [Suite("known", "known_suite", checks=("known/score",))]
