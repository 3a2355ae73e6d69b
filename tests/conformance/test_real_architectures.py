"""Conformance is green on models that are right: those of the zoo, and a tiny one of every family."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
import torch
import transformers
from models.architectures.builder import TYPES, build, quiet
from packaging import version

from interp_assert.conformance import CHECKS, Check, Finding, Passes, search
from interp_assert.models import Model, load, wrap

from . import broken

RESTARTS = "several tokens on a warm cache restart the recurrence"
ONE_ROW = "its cache holds one row only"
NO_POSITIONS = "it does not count positions in the cache"
CLAMPS = "time steps are limited in the full pass and not in the step"
TIES = "its top-k selections have ties"
FORGETS = "its cache forgets what the full pass still attends to"

FAMILIES = (
    "bart",
    "bert",
    "bloom",
    "deepseek_v3",
    "falcon",
    "gemma2",
    "gpt2",
    "gpt_neox",
    "gpt_oss",
    "llama",
    "mpt",
    "opt",
    "phi3",
    "qwen3_moe",
    "falcon_h1",
    "granitemoehybrid",
    "lfm2",
    "mamba2",
    "minimax",
    "nemotron_h",
    "olmo_hybrid",
    "qwen3_next",
    "recurrent_gemma",
    "xlstm",
)
TRAPPED = {
    "mamba": RESTARTS,
    "falcon_mamba": RESTARTS,
    "jamba": RESTARTS,
    "rwkv": ONE_ROW,
    "bamba": NO_POSITIONS,
}
"""Families whose stepping is right for those who know how to step."""


OF_NOW = version.parse(transformers.__version__) >= version.parse("5.20")
"""Before, recurrent families stepped in other ways and had other traps."""


def opened(model_type: str, **settings: object) -> Model:
    if model_type not in TYPES:
        pytest.skip(f"the installed transformers has no {model_type}")
    with quiet():
        return wrap(build(model_type, **settings), id=model_type)


def findings(model: Model, ids: torch.Tensor) -> dict[str, Finding]:
    """Of every check that can be asked of the model."""
    passes = Passes.of(model)
    with quiet():
        asked: list[Check] = [check for check in CHECKS.values() if check.lacks(passes) is None]
        return {check.name: check(model, ids, passes=passes) for check in asked}


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_tiny_model_of_each_family_conforms(model_type: str, ids_of: Callable[..., torch.Tensor]) -> None:
    model = opened(model_type)
    found = findings(model, ids_of(model))
    if not OF_NOW:
        found.pop("cache_stepping", None)
    assert {name: finding.fault for name, finding in found.items() if not finding.holds} == {}
    assert {trap.name for finding in found.values() for trap in finding.traps} == set()
    assert len(found) >= 10


@pytest.mark.skipif(not OF_NOW, reason="older releases of transformers have other traps")
@pytest.mark.parametrize("model_type", TRAPPED)
def test_a_trap_that_one_can_avoid_is_named_and_passed(model_type: str, ids_of: Callable[..., torch.Tensor]) -> None:
    model = opened(model_type)
    found = findings(model, ids_of(model))
    assert {name: finding.fault for name, finding in found.items() if not finding.holds} == {}
    [trap] = found["cache_stepping"].traps
    assert trap.name == TRAPPED[model_type]
    assert trap.size > 1e-4
    assert trap.with_remedy < 1e-5


@pytest.mark.parametrize("name", ["gpt_neox", "gpt2", "gpt2-no-induction"])
def test_the_models_of_the_zoo_conform(name: str) -> None:
    model = load(f"zoo:{name}")
    for check in CHECKS.values():
        searched = search(model, check, budget="quick")
        assert searched.finding.holds, searched.finding.fault
        assert searched.traps == ()
        assert 2 <= searched.tried <= 4


@pytest.mark.skipif(not OF_NOW, reason="older releases of transformers have other traps")
class TestTrapsThatNobodyCanAvoid:
    """They stay faults: a full pass and a step compute different things. But they are named."""

    def one(self, model: Model, ids: torch.Tensor) -> Finding:
        with quiet():
            return CHECKS["cache_stepping"](model, ids)

    @pytest.mark.parametrize("model_type", ["mamba2", "zamba2", "nemotron_h"])
    def test_time_steps_that_only_the_full_pass_clamps(
        self, model_type: str, ids_of: Callable[..., torch.Tensor]
    ) -> None:
        model = opened(model_type)
        self.limit(model, 0.1, 1.0)
        finding = self.one(model, ids_of(model))
        assert not finding.holds
        assert finding.size > 1e-3
        assert [trap.name for trap in finding.traps] == [CLAMPS]
        assert f"because {CLAMPS}" in finding.fault
        self.limit(model, 0.0, inf)
        assert self.one(model, ids_of(model)).holds

    def limit(self, model: Model, low: float, high: float) -> None:
        mixers = [part for part in model.module.modules() if hasattr(part, "time_step_limit")]
        assert mixers
        for mixer in mixers:
            mixer.time_step_limit = (low, high)  # type: ignore[assignment]

    def test_selections_that_are_decided_by_ties(self, ids_of: Callable[..., torch.Tensor]) -> None:
        model = opened("deepseek_v32")
        finding = self.one(model, ids_of(model))
        assert [trap.name for trap in finding.traps] == [TIES]

    def test_a_cache_that_forgets_more_than_the_full_pass(self, ids_of: Callable[..., torch.Tensor]) -> None:
        model = opened("moshi")
        finding = self.one(model, ids_of(model))
        assert [trap.name for trap in finding.traps] == [FORGETS]
        assert "from position 6 on" in finding.fault

    def test_a_fault_that_is_no_known_trap_stays_unexplained(self, ids_of: Callable[..., torch.Tensor]) -> None:
        model = broken.shifted_cache()
        finding = self.one(model, ids_of(model))
        assert not finding.holds
        assert finding.traps == ()


def test_models_that_see_the_future_are_red_for_that_and_not_stepped(ids_of: Callable[..., torch.Tensor]) -> None:
    model = opened("xlnet")
    passes = Passes.of(model)
    finding = CHECKS["causality"](model, ids_of(model), passes=passes)
    assert (finding.holds, finding.site) == (False, "blocks.0.resid_post")
    assert "not causal" in (CHECKS["cache_stepping"].lacks(passes) or "")


def test_recurrent_models_are_never_padded_but_asked_about_what_follows(
    ids_of: Callable[..., torch.Tensor],
) -> None:
    masked: list[bool] = []

    class Watched(Passes):
        def call(self, ids: torch.Tensor, **options: Any) -> Any:
            masked.append("attention_mask" in options)
            return super().call(ids, **options)

    for model_type, padded in (("mamba2", False), ("falcon_h1", False), ("llama", True)):
        model = opened(model_type)
        masked.clear()
        assert CHECKS["padding"](model, ids_of(model), passes=Watched.of(model)).holds
        assert any(masked) is padded


@pytest.mark.skipif(not OF_NOW, reason="older releases of transformers step in other ways")
@pytest.mark.parametrize("model_type", ["mamba2", "recurrent_gemma"])
def test_states_of_the_block_after_are_not_those_of_the_cache(
    model_type: str, ids_of: Callable[..., torch.Tensor]
) -> None:
    model = opened(model_type)
    assert CHECKS["cache_stepping"](model, ids_of(model)).holds
    routes = model.anatomy.routes
    first, second = [site for site in routes if site.endswith(".state")][:2]
    routes[first] = routes[second]
    finding = CHECKS["cache_stepping"](model, ids_of(model))
    assert (finding.holds, finding.site) == (False, first)
    assert "not the state in the cache" in finding.fault
