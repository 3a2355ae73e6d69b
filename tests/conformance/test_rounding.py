"""Rounding is told from faults by a copy in float64: noise vanishes there, a fault keeps its size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from models.tiny import LAYERS, build, token_ids

from interp_assert.conformance import CHECKS, Check, Comparison, Example, Passes, Seen
from interp_assert.conformance.distances import distance
from interp_assert.conformance.double import everything_in_float64
from interp_assert.models import Model, wrap


@pytest.fixture(scope="module")
def model() -> Model:
    return wrap(build("llama"), id="tiny")


def check_of(compare: Callable[[Passes, Example], list[Seen]]) -> Check:
    return Check("made_up", "two values are one", lambda passes, example: Comparison(compare(passes, example)))


def dtype_of(passes: Passes) -> torch.dtype:
    return next(passes.module.parameters()).dtype


def test_what_vanishes_in_float64_is_rounding(model: Model, ids_of: Callable[..., torch.Tensor]) -> None:
    def noisy(passes: Passes, _example: Example) -> list[Seen]:
        return [Seen("a", 0.02 if dtype_of(passes) == torch.float32 else 1e-11), Seen("b", 1e-7)]

    finding = check_of(noisy)(model, ids_of(model))
    assert finding.holds
    assert finding.size == 1e-7  # the sizes that float64 gives
    assert finding.note == "0.02 in float32, 1e-11 in float64: rounding"


@pytest.mark.parametrize("left", [0.02, 0.003, 1e-4])
def test_what_stays_is_a_fault_even_if_it_shrinks_a_little(
    left: float, model: Model, ids_of: Callable[..., torch.Tensor]
) -> None:
    def faulty(passes: Passes, _example: Example) -> list[Seen]:
        return [Seen("a", 1e-7), Seen("b", 0.02 if dtype_of(passes) == torch.float32 else left, "it moves")]

    finding = check_of(faulty)(model, ids_of(model))
    assert not finding.holds
    assert (finding.site, finding.size) == ("b", 0.02)
    assert "too much for rounding" in finding.note
    assert finding.fault == f"it moves (relative difference 0.02, limit {finding.limit:.2g})"


def test_the_first_fault_in_order_is_named_and_noise_before_it_is_not(
    model: Model, ids_of: Callable[..., torch.Tensor]
) -> None:
    def mixed(passes: Passes, _example: Example) -> list[Seen]:
        noise = 0.5 if dtype_of(passes) == torch.float32 else 1e-12
        return [Seen("noise", noise), Seen("first", 0.01), Seen("second", 0.9)]

    assert check_of(mixed)(model, ids_of(model)).site == "first"


@pytest.mark.parametrize("size", [float("nan"), float("inf")])
def test_what_is_not_finite_never_holds(size: float, model: Model, ids_of: Callable[..., torch.Tensor]) -> None:
    finding = check_of(lambda *_: [Seen("a", size, "it moves")])(model, ids_of(model))
    assert not finding.holds
    assert "it moves" in finding.fault


def test_exact_identities_have_no_tolerance(model: Model, ids_of: Callable[..., torch.Tensor]) -> None:
    finding = check_of(lambda *_: [Seen("a", 1e-12, "it moves", exact=True)])(model, ids_of(model))
    assert (finding.holds, finding.limit) == (False, 0.0)


def test_a_module_that_a_copy_would_not_run_is_judged_by_the_limit_and_says_so(
    ids_of: Callable[..., torch.Tensor],
) -> None:
    module: Any = build("llama")
    forward = module.forward
    module.forward = lambda *args, **options: forward(*args, **options)
    model = wrap(module, id="tiny")
    finding = check_of(lambda *_: [Seen("a", 0.5, "it moves")])(model, ids_of(model))
    assert not finding.holds
    assert finding.note.startswith("not told from rounding: a forward was put on an instance")


def test_casts_inside_a_module_are_lifted_too() -> None:
    """Norms and softmaxes are written with ``.float()``: their rounding would hide how small the rest has become."""
    x = torch.full((3,), 1 / 3, dtype=torch.float64)
    with everything_in_float64():
        assert x.float().dtype == x.to(torch.float32).dtype == x.to(dtype=torch.bfloat16).dtype == torch.float64
        assert torch.softmax(x, -1, dtype=torch.float32).dtype == torch.float64
        assert torch.zeros(2).dtype == torch.ones(2, dtype=torch.float32).dtype == torch.float64
        assert torch.arange(3).float().dtype == torch.float64
    assert x.float().dtype == torch.zeros(2).dtype == torch.float32


def test_noise_of_a_llama_falls_by_many_orders_in_float64(model: Model, ids_of: Callable[..., torch.Tensor]) -> None:
    """Its norms cast to float32 whatever the weights are."""
    passes, ids = Passes.of(model), ids_of(model)
    exact = passes.in_float64
    assert isinstance(exact, Passes)
    example = Example(ids, position=4)
    noise = max(seen.size for seen in CHECKS["cache_stepping"].compare(passes, example).seen)
    with everything_in_float64():
        left = max(seen.size for seen in CHECKS["cache_stepping"].compare(exact, example).seen)
    assert noise > 1e-8
    assert left < 1e-6 * noise


def test_the_distance_is_that_of_the_worst_vector() -> None:
    values = torch.ones(4, 25, 8)
    moved = values.clone()
    moved[2, 7] += 0.5
    assert distance(moved, values) == pytest.approx(0.5)
    assert distance(values, values) == 0
    masked = torch.full((2, 3), float("-inf"))
    assert distance(masked, masked) == 0
    assert distance(values[:, :3], values) == float("inf")
    assert distance(values * float("nan"), values) != distance(values * float("nan"), values)


def test_running_out_of_memory_is_no_finding() -> None:
    """A model that does not fit is told so: neither as a fault of the model nor as a trap that was not found."""
    starved = wrap(build("gpt2"), id="starved")
    assert starved.anatomy.n_blocks == LAYERS

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes")

    starved.module.register_forward_pre_hook(full)
    for name in ("causality", "cache_stepping"):
        with pytest.raises(RuntimeError, match="allocate"):
            CHECKS[name](starved, token_ids())
