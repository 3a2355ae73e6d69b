"""``assert_steers`` on a linear model, whose response to every dose is known, and on others, trained or not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from measures.small import gpt2
from oracles import steering_linear
from prompts.words import metaspace_tokenizer

from interp_assert.assertions import InterpAssertionError, NotApplicable, assert_steers, steers_text
from interp_assert.assertions.steers import DEFAULTS
from interp_assert.assertions.steers_text import neutral_text
from interp_assert.controls import norm_matched
from interp_assert.errors import BadEdit, NonFiniteMeasurement, UsageProblem
from interp_assert.measures.activations import read_last
from interp_assert.measures.steering import class_difference, nll_under_steering
from interp_assert.models import Model, load, twins, wrap
from interp_assert.prompts import CannotSample, LabelledTexts, continents, put_into_tokens
from interp_assert.prompts.documents import GivenDocuments
from interp_assert.stats import ErrorLevels, Outcome
from interp_assert.stats.splits import split_by_group

from .outcome import control, verdict_of

N = 60
WORDS = [f"▁{kind}{i}" for kind in ("p", "n", "who") for i in range(N)] + ["▁up", "▁down"]
TOKENIZER = metaspace_tokenizer(WORDS)
IDS = {word.strip("▁"): i for word, i in TOKENIZER.get_vocab().items()}
TARGET = (IDS["up"], IDS["down"])
DATA = LabelledTexts(
    "words",
    tuple(f" who{i} {kind}{i}" for i in range(N) for kind in ("p", "n")),
    (1, 0) * N,
    tuple(f"group {i}" for i in range(N) for _ in range(2)),
    ("low", "high"),
)
NEUTRAL = [[1, IDS[f"who{i}"], IDS[f"who{i + 1}"]] for i in range(40)]
LAYER = 2


def linear(size: float = 8.0) -> Model:
    """Its words p lie ``size`` along what the target's logit difference reads after block 2, its words n against it."""
    module = steering_linear.build(vocab=len(TOKENIZER))
    u = steering_linear.reader(module, LAYER, TARGET)
    laid = torch.from_numpy(steering_linear.laid_at_the_embedding(module, LAYER, u / np.linalg.norm(u))).float()
    for kind, sign in (("p", 1.0), ("n", -1.0)):
        places = [IDS[f"{kind}{i}"] for i in range(N)]
        module.embed.weight[places] = 0.3 * module.embed.weight[places] + sign * size / 2 * laid
    return wrap(module, TOKENIZER, id="linear")


def steers(model: Model, data: LabelledTexts = DATA, **options: Any) -> Any:
    settings = {"target": ("up", "down"), "layer": LAYER, "neutral": NEUTRAL, "nll_budget": 50.0, "twins": 5}
    return assert_steers(model, data, **{**settings, **options})


def test_in_a_linear_model_every_figure_is_the_known_one() -> None:
    model = linear()
    verdict = steers(model)
    assert verdict.outcome is Outcome.PASS
    listed = put_into_tokens(DATA, model)
    split = split_by_group(listed.labels, listed.groups, seed=0)
    site = f"blocks.{LAYER - 1}.resid_post"
    train = read_last(model, [listed.rows[i] for i in split.train], [site])[site].astype(np.float64)
    labels = listed.labels[split.train]
    v = train[labels == 1].mean(0) - train[labels == 0].mean(0)
    expected = float(v @ steering_linear.reader(model.module, LAYER, TARGET))  # type: ignore[arg-type]
    assert verdict.details["slope"] == pytest.approx(expected, abs=1e-4)
    assert verdict.details["slope_quartiles"] == pytest.approx([expected] * 3, abs=1e-4)
    assert verdict.details["norm"] == pytest.approx(np.linalg.norm(v), abs=1e-4)
    assert verdict.details["anti_steerable"] == 0.0
    assert verdict.details["by_dose"]["2"] - verdict.details["by_dose"]["0"] == pytest.approx(2 * expected, abs=1e-4)
    assert control(verdict, "random_directions").details["norms"] == pytest.approx([np.linalg.norm(v)] * 20, abs=1e-4)
    assert max(control(verdict, "shuffled_labels").details["norms"]) < np.linalg.norm(v)
    written = verdict.details["attribution"]
    assert {part["component"] for part in written["parts"]} == {
        "blocks.0.resid_pre",
        *(f"blocks.{i}.mlp.out" for i in range(3)),
    }
    assert sum(part["logits"] for part in written["parts"]) == pytest.approx(written["total"], abs=1e-4)
    assert abs(written["parts"][0]["logits"]) >= abs(written["parts"][-1]["logits"])
    assert f"{written['total']:.2f} logits between the classes" in verdict.details["profile"]["written"]
    assert verdict.layer == "block 2 of 3"
    assert [m.name for m in verdict.measurements] == ["steering/slope"]


def test_random_directions_move_the_target_as_chance_has_it() -> None:
    verdict = steers(linear(), seed=3)
    slopes = np.array(control(verdict, "random_directions").details["slopes"])
    u = steering_linear.reader(steering_linear.build(len(TOKENIZER)), LAYER, TARGET)
    expected = norm_matched(np.ones(steering_linear.WIDTH), seed=3) @ u / steering_linear.WIDTH**0.5
    assert slopes == pytest.approx(expected * verdict.details["norm"], abs=1e-4)
    chance = verdict.details["norm"] * np.linalg.norm(u) / steering_linear.WIDTH**0.5
    assert slopes.std() == pytest.approx(chance, rel=0.5)


def test_the_opposite_target_is_refuted() -> None:
    with pytest.raises(InterpAssertionError) as failure:
        steers(linear(), target=("down", "up"))
    verdict = failure.value.verdict
    assert verdict.outcome is verdict.claim_outcome is Outcome.FAIL
    assert verdict.details["anti_steerable"] == 1.0
    assert verdict.details["slope"] < 0


def test_classes_that_differ_in_nothing_that_is_read_do_not_pass() -> None:
    verdict = verdict_of(steers, linear(0.0))
    assert verdict.outcome is not Outcome.PASS
    assert control(verdict, "shuffled_labels").outcome is not Outcome.PASS


def test_a_slope_can_be_asked_for() -> None:
    model = linear()
    slope = steers(model).details["slope"]
    assert steers(model, slope=0.9 * slope).outcome is Outcome.PASS
    assert verdict_of(steers, model, slope=1.1 * slope).outcome is Outcome.FAIL


def test_every_twin_is_steered_along_a_direction_of_its_own() -> None:
    model = linear()
    listed = put_into_tokens(DATA, model)
    train = split_by_group(listed.labels, listed.groups, seed=0).train
    rows, labels = [listed.rows[i] for i in train], listed.labels[train]
    expected = [
        float(
            class_difference(twin, rows, labels, ["blocks.1.resid_post"])["blocks.1.resid_post"]
            @ steering_linear.reader(twin.module, LAYER, TARGET)  # type: ignore[arg-type]
        )
        for twin in twins(model, n=2)
    ]
    measured = control(verdict_of(steers, model, twins=2), "random_weights")
    assert measured.details["twin_scores"] == pytest.approx(expected, abs=1e-4)


def test_neutral_text_is_judged_by_the_worse_of_both_doses() -> None:
    model, levels = linear(), ErrorLevels()
    v = steering_linear.reader(model.module, LAYER, TARGET)  # type: ignore[arg-type]
    rows = [document.ids for document in GivenDocuments(model, NEUTRAL[:20]).take(0, 16)]  # which decide it
    nll = nll_under_steering(model, rows, "blocks.1.resid_post", v, (0.0, -1.0, 1.0))
    rise = nll[:, 1:] - nll[:, :1]
    assert not np.allclose(rise[:, 0], rise[:, 1])
    told = neutral_text(model, "blocks.1.resid_post", v, (-1.0, 1.0), NEUTRAL[:20], 1e9, levels, 0)
    assert told.outcome is Outcome.PASS
    assert told.details["mean_rise"] == pytest.approx(rise.max(1).mean())


def test_a_direction_that_ruins_neutral_text_is_refused() -> None:
    verdict = verdict_of(steers, linear(), nll_budget=0.0)
    assert control(verdict, "neutral_text").outcome is Outcome.FAIL
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason == "neutral text becomes less likely by more than 0 nats/token"


def test_without_neutral_text_there_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*arguments: Any) -> Any:
        raise CannotSample("linear has nothing to start with; give texts=")

    monkeypatch.setattr(steers_text, "SampledDocuments", cannot)
    with pytest.raises(NotApplicable, match=r"nothing to start with; give texts= as neutral text \(neutral=\)"):
        steers(linear(), neutral=None)


def test_prompts_of_ones_own_are_steered_each_a_cluster() -> None:
    prompts = [f" who{i} who{i + 1}" for i in range(30)]
    verdict = steers(linear(), prompts=prompts, budget=24)
    assert verdict.details["prompts"] == 24
    assert verdict.outcome is Outcome.PASS


def test_steered_texts_share_no_group_with_the_training_part() -> None:
    verdict = steers(linear())
    trained = {f"group {i}" for i in range(N)} - set(verdict.measurements[0].clusters)
    assert verdict.measurements[0].n == 30
    assert verdict.details["trained_on"] == 2 * round(0.35 * N)
    assert len(trained) == 30


@pytest.mark.parametrize("seed", range(3))
def test_random_weights_pass_nothing(seed: int) -> None:
    model = gpt2(seed, tokenizer=TOKENIZER, vocab_size=len(TOKENIZER), bos_token_id=1, eos_token_id=2)
    verdict = verdict_of(assert_steers, model, DATA, target=("up", "down"), neutral=NEUTRAL, nll_budget=20.0, twins=3)
    assert verdict.outcome is not Outcome.PASS


def test_a_trained_model_is_steered_from_asia_to_europe() -> None:
    verdict = assert_steers(load("zoo:gpt_neox"), continents(), target=("Europe", "Asia"), layer=3)
    assert verdict.outcome is Outcome.PASS
    assert [c.name for c in verdict.controls] == [
        "random_directions",
        "shuffled_labels",
        "neutral_text",
        "random_weights",
    ]
    assert all(c.required for c in verdict.controls)
    assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["check"] == "controls/steering"


def test_the_same_seed_gives_the_same_figures() -> None:
    def figures(seed: int) -> list[Any]:
        verdict = verdict_of(steers, linear(), seed=seed)
        directions = control(verdict, "random_directions").details["slopes"]
        return [verdict.details["slope"], set(verdict.measurements[0].clusters), directions]

    assert figures(1) == figures(1)
    assert all(one != two for one, two in zip(figures(1), figures(2), strict=True))


def test_what_is_lacking_is_not_applicable_with_the_reason() -> None:
    few = DATA.only(range(20))
    with pytest.raises(NotApplicable, match=r"10 groups of words are in its tokens, at least 20 are needed"):
        steers(linear(), few)
    with pytest.raises(NotApplicable, match="'sideways' is not one token of linear after"):
        steers(linear(), target=("up", "sideways"))
    with pytest.raises(NotApplicable, match="it has no tokenizer"):
        steers(wrap(steering_linear.build(50), id="bare"))
    with pytest.raises(NotApplicable, match="context of 2"):
        assert_steers(gpt2(tokenizer=TOKENIZER, vocab_size=len(TOKENIZER), n_positions=2), DATA, target=("up", "down"))
    odd = [f" who{i}" for i in range(12)] + [f" nobody{i}" for i in range(5)] + [f"  who{i}" for i in range(5)]
    left = rf"12 prompts are left, at least {DEFAULTS.least} are needed \(left out: 10 x unknown token\)"
    with pytest.raises(NotApplicable, match=left):
        steers(linear(), prompts=odd)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "up"}, "must be two words or token ids"),
        ({"target": ("up", "up")}, "the same token twice"),
        ({"target": ("up", 9999)}, "outside the vocabulary"),
        ({"target": ("up", "")}, "must be a word or a token id"),
        ({"layer": 9}, "layer=9 must be a whole number from 1 to 3"),
        ({"floor": 1.0}, "floor=1.0"),
        ({"slope": -1.0}, "slope=-1.0 must be a number of at least 0"),
        ({"nll_budget": float("nan")}, "nll_budget=nan"),
        ({"target": None}, "must be two words or token ids"),
        ({"alphas": (1.0,)}, "two different finite doses"),
        ({"alphas": None}, "alphas=None must be a list of numbers"),
        ({"alphas": ["a", 1]}, "must be a list of numbers"),
        ({"prompts": {f" who{i}" for i in range(30)}}, "must be a list of texts"),
        ({"prompts": [f" who{i}" for i in range(19)]}, "19 prompts were given, at least 20 are needed"),
        ({"neutral": NEUTRAL[:19]}, "neutral= must be a list of 20 documents at least, not one of 19"),
        ({"neutral": "one text"}, "neutral= must be a list of 20 documents at least, not 'one text'"),
        ({"prompts": "one text"}, "must be a list of texts"),
        ({"prompts": [" who1 "] * 30}, "without a space at its end"),
        ({"prompts": [" who1"] * 30}, "given twice"),
        ({"neutral": [[1]] * 20}, "text 0"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        steers(linear(), **options)


def test_data_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageProblem, match="data is a list; give LabelledTexts, the name of a shipped set"):
        assert_steers(linear(), [("a", 1)], target=("up", "down"))  # type: ignore[arg-type]


def test_a_dose_that_overflows_is_an_error() -> None:
    with pytest.raises((NonFiniteMeasurement, BadEdit), match=r"alpha = |infinite values"):
        steers(linear(), alphas=(0.0, 1e38))
