"""A profile measures a fixed number of clusters, leaves blanks with reasons, and decides nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from math import inf
from typing import Any

import numpy as np
import pytest
from measures.small import gpt2
from oracles import steering_linear
from prompts.words import metaspace_tokenizer

from interp_assert.assertions import recording
from interp_assert.errors import UsageProblem
from interp_assert.measures import measure_induction, measurement
from interp_assert.measures.activations import read_last
from interp_assert.models import Model, load, wrap
from interp_assert.profiles import (
    Figure,
    ProfiledMeasure,
    Request,
    measures,
    own_measurements,
    profile,
    profiled_measures,
    profiling,
    register_measurement,
    steering,
)
from interp_assert.prompts import LabelledTexts, RepeatedTokenStream, continents, put_into_tokens, token_pool
from interp_assert.stats.splits import split_by_group


@pytest.fixture(scope="module")
def neox() -> Model:
    return load("zoo:gpt_neox")


@measurement("mine/length", prompts=[[1] * k for k in range(1, 31)], hi=100, null=lambda prompt, rng: prompt[:1])
def length(model: Model, prompts: list[list[int]]) -> list[float]:
    """How long it is."""
    return [float(len(prompt)) for prompt in prompts]


def brought(monkeypatch: pytest.MonkeyPatch, **loaded: Any) -> None:
    """Let other packages bring these entries."""

    class Brought(EntryPoint):
        def load(self) -> Any:
            return loaded[self.name]

    points = [Brought(name, f"package:{name}", measures.GROUP) for name in loaded]
    monkeypatch.setattr(measures, "entry_points", lambda group: points if group == "interp_assert.measures" else [])


def test_every_cluster_of_the_budget_is_measured_and_the_interval_holds_the_value(neox: Model) -> None:
    made = profile(neox, budget=24, seed=3)
    induction, lens, *_ = made.figures
    clusters = RepeatedTokenStream(token_pool(neox), 20, 3).take(0, 24)
    assert induction.value == measure_induction(neox, clusters, heads=False).accuracy.estimate
    assert induction.n == 24
    assert lens.n <= 24
    for figure in made.figures:
        if figure.measure.startswith("probes/"):  # its tokenizer has too few of their words
            continue
        assert figure.value is not None
        assert figure.interval is not None
        assert figure.interval[0] <= figure.value <= figure.interval[1]
        assert figure.approximate == (figure.measure == "controls/steering")
    assert induction.details["prefix_matching"]["best_heads"]
    assert made.costs["circuits/induction"].forward_passes > 0


def test_steering_in_a_linear_model_is_the_product_with_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = continents().texts
    data = LabelledTexts(
        "lands",
        tuple(f"{text.split()[0]} {kind}{i}" for i, text in enumerate(texts[:60]) for kind in ("a", "e")),
        (0, 1) * 60,
        tuple(f"group {i}" for i in range(60) for _ in range(2)),
        ("Asia", "Europe"),
    )
    words = {f"▁{word}" for text in (*texts, *data.texts) for word in text.split()} | {"▁Europe", "▁Asia"}
    tokenizer = metaspace_tokenizer(sorted(words | {text.split()[0] for text in texts}))
    module = steering_linear.build(len(tokenizer))
    model = wrap(module, tokenizer, id="linear")
    [blank] = profile(model, only=["controls/steering"]).figures
    assert "both classes have the same mean" in blank.missing, "without attention all texts that end alike are one"

    monkeypatch.setattr(steering, "continents", lambda: data)
    [figure] = profile(model, only=["controls/steering"]).figures
    listed = put_into_tokens(data, model)
    train = split_by_group(listed.labels, listed.groups, seed=0).train
    stream = read_last(model, [listed.rows[i] for i in train], ["blocks.1.resid_post"])["blocks.1.resid_post"]
    labels = listed.labels[train]
    v = stream[labels == 1].mean(0, dtype=np.float64) - stream[labels == 0].mean(0, dtype=np.float64)
    target = (tokenizer.get_vocab()["▁Europe"], tokenizer.get_vocab()["▁Asia"])
    slope = float(v @ steering_linear.reader(module, 2, target))
    assert abs(slope) > 0.01  # or a wrong sign would not show
    assert figure.details["slope"] == pytest.approx(slope, abs=1e-5)
    assert figure.value == pytest.approx(slope, abs=1e-5)
    assert figure.interval == pytest.approx((slope, slope), abs=1e-5)
    assert (figure.n, figure.whole, figure.details["steerable"]) == (30, True, float(slope > 0))


def test_prompts_are_those_of_the_seed() -> None:
    def likelihood(seed: int) -> Any:
        return profile(gpt2(), budget=4, seed=seed, only=["circuits/induction"]).figures[0].details["p_target"]

    assert likelihood(1) == likelihood(1) != likelihood(2)


def test_listeners_hear_profiles_and_no_verdict_is_reached(neox: Model) -> None:
    heard: list[Any] = []
    verdicts: list[Any] = []
    with profiling(heard.append), recording(verdicts.append):
        made = profile(neox, budget=4, only=["circuits/induction"])
    assert heard == [made]
    assert verdicts == []
    record = json.loads(json.dumps(made.as_dict(), allow_nan=False))
    assert record["model"] == "zoo:gpt_neox"
    assert [figure["measure"] for figure in record["figures"]] == ["circuits/induction"]


def test_what_a_model_has_no_use_for_is_blank_with_the_reason() -> None:
    induction, lens, *_ = profile(gpt2(n_positions=16), budget=4).figures
    assert (induction.value, induction.broken) == (None, False)
    assert "do not fit its context of 16" in induction.missing
    assert lens.missing == "it has no tokenizer, so facts cannot be put into its tokens"


def test_numbers_that_are_not_finite_are_a_defect() -> None:
    model = gpt2()
    model.module.transformer.ln_f.weight.data[0] = float("nan")  # type: ignore[union-attr,operator]
    [induction] = profile(model, budget=4, only=["circuits/induction"]).figures
    assert induction.value is None
    assert induction.broken
    assert "gives logits that are NaN; the first module to return NaN is transformer.ln_f" in induction.missing
    overflowing = gpt2()
    overflowing.module.transformer.ln_f.weight.data[0] = float("inf")  # type: ignore[union-attr,operator]
    [induction] = profile(overflowing, budget=4, only=["circuits/induction"]).figures
    assert induction.value is None
    assert induction.broken
    assert "gives logits that are infinite" in induction.missing


def test_a_measurement_of_ones_own_joins_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    brought(monkeypatch, length=length)
    assert [measure.name for measure in profiled_measures()][-1] == "mine/length"
    [figure] = profile(gpt2(), budget=20, only=["mine/length"]).figures
    [whole] = profile(gpt2(), budget=512, only=["mine/length"]).figures
    assert figure.n == 20
    assert (whole.n, whole.value) == (30, 15.5)
    assert whole.interval == pytest.approx((15.5, 15.5))
    assert figure.interval is not None
    assert figure.interval[0] < 15.5 < figure.interval[1]
    assert whole.note == "null 1.000"
    assert (figure.whole, whole.whole) == (False, True)


def test_a_measurement_of_ones_own_joins_by_being_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    brought(monkeypatch)
    monkeypatch.setattr(measures, "_registered", {})
    assert register_measurement(length) is length
    assert [measure.name for measure in profiled_measures()][-1] == "mine/length"
    assert own_measurements() == [length]
    register_measurement(again := replace(length, version=2))
    assert own_measurements() == [again]
    with pytest.raises(UsageProblem, match=r"what is registered is a function; .* belongs a measurement made by"):
        register_measurement(length.function)  # type: ignore[type-var]
    brought(monkeypatch, length=length)
    with pytest.raises(UsageProblem, match="two measurements have the name 'mine/length'"):
        profiled_measures()


def test_one_that_does_not_return_numbers_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    @measurement("mine/nothing", prompts=[1, 2])
    def nothing(model: Model, prompts: list[int]) -> None:
        return None

    brought(monkeypatch, length=length, nothing=nothing)
    one, other = profile(gpt2(), budget=20, only=["mine/nothing", "mine/length"]).figures
    assert (one.value, one.broken) == (None, True)
    assert "returned NoneType, which is no array of numbers" in one.missing
    assert other.value is not None


def test_a_costly_one_is_measured_only_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def figures(model: Model, asked: Request) -> list[Figure]:
        return [Figure.none("mine/costly", "costly", f"base {asked.base}")]

    brought(monkeypatch, costly=ProfiledMeasure("mine/costly", "costly", figures, costly=True))
    assert "mine/costly" not in [measure.name for measure in profiled_measures()]
    assert profile(gpt2(), budget=4, only=["mine/costly"]).figures[0].missing == "base None"


def test_what_is_no_measurement_or_has_a_name_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    brought(monkeypatch, wrong=print)
    with pytest.raises(UsageProblem, match="entry point wrong = package:wrong is a builtin_function_or_method"):
        profiled_measures()
    brought(monkeypatch, one=length, two=length)
    with pytest.raises(UsageProblem, match="two measurements have the name 'mine/length'"):
        profiled_measures()
    brought(monkeypatch)
    with pytest.raises(UsageProblem, match="no measurement 'mine/depth'; a profile can have circuits/induction, "):
        profile(gpt2(), only=["mine/depth"])


def test_without_a_finite_range_the_interval_is_approximate_and_says_so() -> None:
    @measurement("mine/noise", prompts=list(np.random.default_rng(0).normal(5.0, 1.0, 400)), lo=-inf, hi=inf)
    def noise(model: Model, prompts: list[float]) -> list[float]:
        return prompts

    drawn = noise.measure(gpt2(), noise.clusters(gpt2(), 0).take(0, 100))
    figure = Figure.of("mine/noise", "noise", drawn)
    assert figure.approximate
    assert figure.interval == pytest.approx((5.0 - 0.2, 5.0 + 0.2), abs=0.2)
    of_list = Figure.of("mine/noise", "noise", drawn, population=100)
    assert of_list.interval == pytest.approx((drawn.estimate, drawn.estimate))
