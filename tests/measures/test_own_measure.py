"""Measurements of one's own: what a decorated function is checked for before anything is decided."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from interp_assert.errors import NonFiniteMeasurement, UsageProblem
from interp_assert.measures import OwnMeasurement, measurement
from interp_assert.prompts import Endless
from interp_assert.stats import BadMeasurement

from .small import gpt2


def own(returned: Any = None, **options: Any) -> OwnMeasurement:
    settings: dict[str, Any] = {"prompts": [0.25, 0.5, 0.75], **options}

    @measurement("mine/value", **settings)
    def value(model: Any, prompts: list[Any]) -> Any:
        """The prompt itself.

        Further text.
        """
        return prompts if returned is None else returned

    return value


def test_calling_it_measures_one_value_per_prompt_with_its_cost() -> None:
    @measurement("mine/logit", prompts=[[1, 2], [3, 4]], lo=-100, hi=100, unit="logits")
    def logit(model: Any, prompts: list[Any]) -> torch.Tensor:
        return model.trace(torch.tensor(prompts)).logits[:, -1, 0]

    measured = logit(gpt2(), [[1, 2], [3, 4]])
    assert measured.clusters == ("0", "1")
    assert (measured.name, measured.unit, measured.lo, measured.hi) == ("mine/logit", "logits", -100.0, 100.0)
    assert measured.cost.forward_passes == 1
    assert measured.cost.tokens == 4


def test_the_first_sentence_of_the_docstring_is_what_is_claimed() -> None:
    assert own().summary == "The prompt itself"


def test_a_list_is_drawn_in_a_seeded_order_and_a_stream_as_it_comes() -> None:
    ten = list(range(10))
    drawn = own(prompts=ten).clusters(gpt2(), 3).take(0, 10)
    again = own(prompts=lambda model, seed: ten).clusters(gpt2(), 3)
    assert sorted(cluster.prompt for cluster in drawn) == ten
    assert [cluster.prompt for cluster in drawn] != ten
    assert [cluster.id for cluster in drawn] == [str(cluster.prompt) for cluster in drawn]
    assert [*again.take(0, 4), *again.take(4, 10)] == drawn
    assert [c.prompt for c in own(prompts=ten).clusters(gpt2(), 4).take(0, 10)] != [c.prompt for c in drawn]
    stream = own(prompts=lambda model, seed: Endless(lambda rng: float(rng.random()), seed)).clusters(gpt2(), 3)
    assert stream.size is None
    assert [c.prompt for c in (*stream.take(0, 2), *stream.take(2, 2))] == [c.prompt for c in stream.take(0, 4)]
    assert stream.take(1, 1)[0].id == "seed=3/1"


def test_prompts_with_an_id_keep_it() -> None:
    prompts = [SimpleNamespace(id="France"), SimpleNamespace(id="Spain")]
    assert {cluster.id for cluster in own(prompts=prompts).clusters(gpt2(), 0).take(0, 2)} == {"France", "Spain"}


def test_a_null_input_depends_on_the_seed_and_the_place_only() -> None:
    noisy = own(prompts=list(np.linspace(0, 1, 8)), null=lambda prompt, rng: rng.random())
    clusters = noisy.clusters(gpt2(), 0).take(0, 8)
    whole = noisy.measure_null(gpt2(), clusters, seed=0).values
    parts = [noisy.measure_null(gpt2(), [cluster], seed=0).values[0] for cluster in clusters]
    assert whole.tolist() == parts
    assert len(set(parts)) == 8
    assert noisy.measure_null(gpt2(), clusters, seed=1).values.tolist() != parts


def test_what_is_trained_is_a_further_argument() -> None:
    @measurement("mine/trained", prompts=[1.0], train=lambda model, seed: f"{model.id} {seed}")
    def trained(model: Any, prompts: list[Any], made: str) -> list[float]:
        assert made == "random-gpt2-0 0"
        return [1.0]

    assert trained(gpt2(), [1.0]).estimate == 1.0


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([0.1, 0.2], r"3 prompts went in and values of shape \(2,\) came out"),
        (0.5, r"values of shape \(\) came out"),
        (np.ones((3, 2)), r"shape \(3, 2\)"),
        ("many", "no array of numbers"),
        (["0.1", "0.2", "0.3"], "no array of numbers"),
        ([0.1, None, 0.3], "None or text among the values"),
        ({}, "returned dict, which is no array of numbers"),
        ([0.1, 0.2, 1.5], r"outside its declared range \[0.0, 1.0\]"),
    ],
)
def test_what_is_no_value_per_prompt_is_refused(returned: Any, message: str) -> None:
    with pytest.raises(BadMeasurement, match=message):
        own(returned)(gpt2(), [1, 2, 3])


def test_a_value_that_is_not_finite_names_its_prompt() -> None:
    with pytest.raises(NonFiniteMeasurement, match="mine/value is nan on cluster '1'"):
        own([0.0, float("nan"), 0.0])(gpt2(), [1, 2, 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lo": 1.0, "hi": 0.0}, "lo must be below hi"),
        ({"direction": "up"}, "'higher' or 'lower'"),
        ({"lo": "low"}, "lo='low' must be a number"),
        ({"null": 3}, "null=3 must be a function"),
        ({"train": 3}, "train=3 must be a function"),
        ({"unit": ""}, "unit='' must be a word"),
        ({"version": 0}, "version=0 must be a whole number"),
    ],
)
def test_an_impossible_declaration_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        own(**options)


@pytest.mark.parametrize("name", ["agreement", "mine/", "/mine", "mine/a b", "mine//b", 3])
def test_a_name_without_owner_and_quantity_is_refused(name: Any) -> None:
    with pytest.raises(UsageProblem, match="must read owner/quantity"):
        measurement(name, prompts=[])(lambda model, prompts: prompts)


def test_a_prompt_is_an_independent_unit_and_is_given_once() -> None:
    with pytest.raises(UsageProblem, match="prompt 2 is prompt 0 again"):
        own(prompts=[[1, 2], [3], [1, 2]]).clusters(gpt2(), 0)
    rows = np.array([[1, 2], [3, 4]])
    assert sorted(c.prompt.tolist() for c in own(prompts=rows).clusters(gpt2(), 0).take(0, 5)) == rows.tolist()


@pytest.mark.parametrize("prompts", ["a text", 7, lambda model, seed: None])
def test_prompts_that_are_no_list_are_refused(prompts: Any) -> None:
    with pytest.raises(UsageProblem, match="prompts must be a list"):
        own(prompts=prompts).clusters(gpt2(), 0)


def test_an_endless_stream_needs_a_function_and_a_seed() -> None:
    with pytest.raises(UsageProblem, match="must be a function"):
        Endless([1, 2])  # type: ignore[arg-type]
    with pytest.raises(UsageProblem, match="a seed is an integer"):
        Endless(lambda rng: 1, -1)
