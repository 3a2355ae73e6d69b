"""Steering against an oracle in which everything is linear (O11), and what holds on any model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from oracles import steering_linear

from interp_assert.errors import ContextTooShort, NonFiniteMeasurement, UsageProblem
from interp_assert.measures.steering import (
    class_difference,
    dose_response,
    dose_responses,
    nll_under_steering,
    slopes_over,
    steering_site,
)
from interp_assert.models import Model, wrap

from .small import gemma2, gpt2, mamba

TARGET = (3, 7)
ROWS = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [3, 1, 9, 8]]
MODULE = steering_linear.build(vocab=12)


@pytest.fixture(scope="module")
def linear() -> Model:
    return wrap(MODULE, id="linear")


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_in_a_linear_model_the_dose_response_is_the_product_with_the_reader(linear: Model, layer: int) -> None:
    v = np.random.default_rng(layer).normal(size=steering_linear.WIDTH)
    expected = float(v @ steering_linear.reader(MODULE, layer, TARGET))
    measured = dose_response(linear, ROWS, steering_site(linear, layer), v, TARGET)
    assert measured.slopes == pytest.approx([expected] * 4, abs=1e-5)
    assert measured.metric[:, 4] - measured.metric[:, 2] == pytest.approx([2 * expected] * 4, abs=1e-5)
    assert abs(expected) > 0.01  # a wrong layer or sign would show
    others = [float(v @ steering_linear.reader(MODULE, other, TARGET)) for other in (1, 2, 3) if other != layer]
    assert min(abs(expected - other) for other in others) > 0.01


def test_directions_go_through_the_model_together_and_do_not_meet(linear: Model) -> None:
    directions = np.random.default_rng(0).normal(size=(6, steering_linear.WIDTH))
    before = linear.meter.forward_passes
    together = dose_responses(linear, ROWS, "blocks.1.resid_post", directions, TARGET, alphas=(-1, 0, 2))
    assert linear.meter.forward_passes - before == 2  # one for each length
    for direction, response in zip(directions, together, strict=True):
        expected = float(direction @ steering_linear.reader(MODULE, 2, TARGET))
        assert response.slopes == pytest.approx([expected] * 4, abs=1e-5)
        assert response.metric[:, 2] - response.metric[:, 1] == pytest.approx([2 * expected] * 4, abs=1e-5)
    assert [response.cost.forward_passes for response in together] == [2, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("make", [gpt2, gemma2, mamba], ids=["gpt2", "gemma2", "mamba"])
def test_alpha_0_is_the_model_itself_and_a_dose_is_linear_at_first(make: Any) -> None:
    model = make()
    site = steering_site(model, 1)
    v = np.random.default_rng(0).normal(size=int(model.anatomy.d_model)) * 1e-3
    measured = dose_response(model, ROWS[:3], site, v, TARGET, alphas=(0, 1, 2))
    plain = model.trace(ROWS[:3]).logits[:, -1].double()
    assert measured.metric[:, 0] == pytest.approx((plain[:, 3] - plain[:, 7]).numpy(), abs=1e-5)
    moved = measured.metric - measured.metric[:, :1]
    assert moved[:, 2] == pytest.approx(2 * moved[:, 1], rel=0.1, abs=1e-5)
    assert np.abs(moved[:, 1]).max() > 1e-5


def test_a_dose_is_added_at_every_position() -> None:
    model = gpt2()
    v = np.random.default_rng(0).normal(size=int(model.anatomy.d_model))
    measured = dose_response(model, [[1, 2, 3, 4]], steering_site(model, 1), v, TARGET, alphas=(0, 2))

    def with_dose(module: Any, args: Any, output: Any) -> Any:
        dose = 2 * torch.from_numpy(v).float()
        return (output[0] + dose, *output[1:]) if isinstance(output, tuple) else output + dose

    hook = model.module.transformer.h[0].register_forward_hook(with_dose)  # type: ignore[union-attr,operator]
    with torch.no_grad():
        logits = model.module(torch.tensor([[1, 2, 3, 4]])).logits[0, -1]
    hook.remove()
    assert measured.metric[0, 1] == pytest.approx(float(logits[3] - logits[7]), abs=1e-4)


def test_the_direction_is_the_mean_of_class_1_minus_that_of_class_0(linear: Model) -> None:
    site = steering_site(linear, 2)
    stream = linear.trace([row[:3] for row in ROWS], [site])[site][:, -1].double().numpy()
    rows = [row[:3] for row in ROWS]
    found = class_difference(linear, rows, [0, 1, 1, 0], [site])[site]
    assert found == pytest.approx((stream[1] + stream[2]) / 2 - (stream[0] + stream[3]) / 2, abs=1e-6)
    assert class_difference(linear, rows, [1, 0, 0, 1], [site])[site] == pytest.approx(-found)


def test_slopes_are_least_squares() -> None:
    alphas, metric = (-1.0, 0.0, 3.0), np.array([[0.0, 1.0, 7.0], [2.0, 2.0, 2.0]])
    assert slopes_over(alphas, metric) == pytest.approx([np.polyfit(alphas, metric[0], 1)[0], 0.0])


def test_the_likelihood_without_a_dose_is_the_models_own() -> None:
    model = gpt2()
    document = [5, 6, 7, 8, 9]
    v = np.ones(int(model.anatomy.d_model))
    nll = nll_under_steering(model, [document, [1, 2]], steering_site(model, 1), v, (0.0, 1.0))
    log_p = model.trace([document]).logits[0, :-1].double().log_softmax(-1)
    own = -np.mean([float(log_p[i, token]) for i, token in enumerate(document[1:])])
    assert nll[0, 0] == pytest.approx(own, abs=1e-6)
    assert nll[0, 1] != nll[0, 0]
    assert nll.shape == (2, 2)


def test_a_dose_of_either_sign_costs_likelihood_as_the_direction_turned_does() -> None:
    model = gpt2()
    v, site = np.random.default_rng(0).normal(size=int(model.anatomy.d_model)), steering_site(model, 1)
    nll = nll_under_steering(model, [[5, 6, 7, 8]], site, v, (-1.0, 0.0, 1.0))
    turned = nll_under_steering(model, [[5, 6, 7, 8]], site, -v, (-1.0, 0.0, 1.0))
    assert nll[0] == pytest.approx(turned[0, ::-1], abs=1e-6)
    assert len(np.unique(nll.round(4))) == 3


def test_what_cannot_be_steered_is_named(linear: Model) -> None:
    v = np.ones(steering_linear.WIDTH)
    with pytest.raises(UsageProblem, match="layer=4 must be a whole number from 1 to 3"):
        steering_site(linear, 4)
    with pytest.raises(UsageProblem, match="layer=0"):
        steering_site(linear, 0)
    with pytest.raises(UsageProblem, match="two different finite doses"):
        dose_response(linear, ROWS, "blocks.0.resid_post", v, TARGET, alphas=(1.0, 1.0))
    with pytest.raises(UsageProblem, match="no prompts to steer"):
        dose_response(linear, [], "blocks.0.resid_post", v, TARGET)
    with pytest.raises(UsageProblem, match="both classes"):
        class_difference(linear, ROWS, [1, 1, 1, 1], ["blocks.0.resid_post"])
    with pytest.raises(UsageProblem, match="same mean"):
        class_difference(linear, [[1, 2], [1, 2]], [0, 1], ["blocks.0.resid_post"])
    with pytest.raises(UsageProblem, match="one finite vector"):
        dose_response(linear, ROWS, "blocks.0.resid_post", v * np.inf, TARGET)
    with pytest.raises(NonFiniteMeasurement, match="alpha = -2 on row 0"):
        dose_response(linear, ROWS, "blocks.0.resid_post", v * 1e38, TARGET)
    with pytest.raises(UsageProblem, match="two tokens at least"):
        nll_under_steering(linear, [[1]], "blocks.0.resid_post", v, (0.0,))
    with pytest.raises(ContextTooShort, match="shorter prompts"):
        dose_response(gpt2(), [[1] * 65], "blocks.0.resid_post", np.ones(32), TARGET)


def test_no_hook_stays_behind(linear: Model) -> None:
    before = linear.trace(ROWS[:1]).logits
    dose_response(linear, ROWS, "blocks.1.resid_post", np.ones(steering_linear.WIDTH), TARGET)
    assert torch.equal(linear.trace(ROWS[:1]).logits, before)
