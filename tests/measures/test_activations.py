"""Last positions are read as a plain trace reads them, once per row, and again when the weights have changed."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from interp_assert.errors import ContextTooShort, NonFiniteMeasurement, SiteNotAvailable, UsageProblem
from interp_assert.measures import activations, read_last
from interp_assert.models import Model
from interp_assert.models.twins import twins
from measures.small import gpt2, mamba

ROWS = [(1, 2, 3), (4, 5), (6, 7, 8), (9, 10, 11, 12), (13, 14)]
POSTS = ["blocks.0.resid_post", "blocks.1.resid_post"]


@pytest.mark.parametrize("build", [gpt2, mamba])
def test_each_row_has_what_its_own_trace_shows(build) -> None:  # type: ignore[no-untyped-def]
    model = build()
    sites = ["blocks.0.resid_pre", "blocks.*.resid_post", "final_norm"]
    read = read_last(model, ROWS, sites)
    assert list(read) == ["blocks.0.resid_pre", *POSTS, "final_norm"]
    for i, row in enumerate(ROWS):
        alone = model.trace(torch.tensor([row]), sites)
        for site, values in read.items():
            assert values.dtype == np.float32
            np.testing.assert_allclose(values[i], alone[site][0, -1].numpy(), atol=1e-5)


def test_states_become_one_axis() -> None:
    model = mamba()
    read = read_last(model, ROWS, "blocks.0.state")["blocks.0.state"]
    alone = model.trace(torch.tensor([ROWS[3]]), ["blocks.0.state"])["blocks.0.state"][0, -1]
    assert alone.ndim == 2
    np.testing.assert_allclose(read[3], alone.flatten().numpy(), atol=1e-5)


def passes(model: Model, rows: list[tuple[int, ...]], sites: str | list[str]) -> int:
    before = model.meter.forward_passes
    read_last(model, rows, sites)
    return model.meter.forward_passes - before


def test_what_was_read_is_not_read_again() -> None:
    model = gpt2()
    assert passes(model, ROWS, POSTS[:1]) == 3  # one for each length
    assert passes(model, ROWS, POSTS[:1]) == 0
    assert passes(model, ROWS, POSTS) == 3
    assert passes(model, list(ROWS), "blocks.*.resid_post") == 0
    assert passes(model, ROWS[:4], POSTS) == 3
    assert passes(gpt2(), ROWS, POSTS) == 3
    activations.forget(model)
    assert passes(model, ROWS, POSTS) == 3


def test_rows_are_told_apart_by_their_ends() -> None:
    model = gpt2()
    one = read_last(model, [(1, 2), (3,)], POSTS[1])[POSTS[1]]
    two = read_last(model, [(1,), (2, 3)], POSTS[1])[POSTS[1]]
    assert not np.allclose(one, two)


@pytest.mark.parametrize("behind_torch", [False, True])
def test_changed_weights_are_read_anew(behind_torch: bool) -> None:
    model = gpt2()
    first = read_last(model, ROWS, POSTS)[POSTS[1]]
    weight = model.module.transformer.h[0].mlp.c_fc.weight
    with torch.no_grad():
        (weight.data if behind_torch else weight).mul_(2.0)
    assert not np.allclose(read_last(model, ROWS, POSTS)[POSTS[1]], first)


def test_a_hook_of_the_users_is_noticed() -> None:
    model = gpt2()
    first = read_last(model, ROWS, POSTS)[POSTS[1]]
    handle = model.module.transformer.h[0].register_forward_hook(lambda module, args, out: out + 1.0)
    assert not np.allclose(read_last(model, ROWS, POSTS)[POSTS[1]], first)
    handle.remove()
    np.testing.assert_array_equal(read_last(model, ROWS, POSTS)[POSTS[1]], first)


def test_a_hook_that_does_another_thing_each_time_is_never_remembered() -> None:
    model, strength = gpt2(), [1.0]
    block = model.module.transformer.h[0]
    handle = block.register_forward_hook(lambda module, args, out: out + strength[0])
    first = read_last(model, ROWS, POSTS)[POSTS[1]]
    strength[0] = 3.0
    stronger = read_last(model, ROWS, POSTS)[POSTS[1]]
    assert not np.allclose(stronger, first)
    handle.remove()
    block.register_forward_hook(lambda module, args, out: out - 1.0)
    assert not np.allclose(read_last(model, ROWS, POSTS)[POSTS[1]], stronger)


def test_hooks_of_transformers_that_look_on_cost_no_passes() -> None:
    model = gpt2()
    model.module(torch.tensor([ROWS[0]]), output_hidden_states=True, output_attentions=True)
    assert any(part._forward_hooks for part in model.module.modules())
    assert passes(model, ROWS, POSTS) == 3
    assert passes(model, ROWS, POSTS) == 0


def test_twins_have_their_own() -> None:
    model = gpt2()
    own = read_last(model, ROWS, POSTS)[POSTS[1]]
    found = [read_last(twin, ROWS, POSTS)[POSTS[1]] for twin in twins(model, n=2)]
    assert not np.allclose(found[0], found[1])
    assert not np.allclose(found[0], own)
    np.testing.assert_array_equal(read_last(model, ROWS, POSTS)[POSTS[1]], own)


def test_memory_is_bounded_and_goes_with_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = gpt2()
    monkeypatch.setattr(activations, "KEPT_BYTES", 2 * 5 * 32 * 4)
    read_last(model, ROWS, [*POSTS, "final_norm"])
    kept = activations._memories[model].kept
    assert [site for _, site in kept] == [POSTS[1], "final_norm"]
    assert passes(model, ROWS, POSTS[1]) == 0
    assert passes(model, ROWS, POSTS[0]) == 3
    assert [site for _, site in kept] == [POSTS[1], POSTS[0]]
    before = len(activations._memories)
    del model, kept
    gc.collect()
    assert len(activations._memories) < before


def test_what_is_remembered_cannot_be_written() -> None:
    values = read_last(gpt2(), ROWS, POSTS)[POSTS[0]]
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0.0


def test_a_value_that_is_not_finite_is_named() -> None:
    model = gpt2()
    _ = model.anatomy
    with torch.no_grad():
        model.module.transformer.wte.weight[7] = float("nan")
    with pytest.raises(NonFiniteMeasurement, match=r"blocks.0.resid_post is not finite .* of row 2 \(1 of 5 rows\)"):
        read_last(model, ROWS, POSTS)
    with pytest.raises(NonFiniteMeasurement, match="of 'c'"):
        read_last(model, ROWS, POSTS, names=list("abcde"))


def test_impossible_requests_are_named() -> None:
    with pytest.raises(UsageProblem, match="no rows"):
        read_last(gpt2(), [], POSTS)
    with pytest.raises(ContextTooShort, match="70 tokens do not fit its context of 64"):
        read_last(gpt2(), [(1,) * 70], POSTS)
    with pytest.raises(SiteNotAvailable, match=r"ssm\.out"):
        read_last(gpt2(), ROWS, "blocks.0.ssm.out")
