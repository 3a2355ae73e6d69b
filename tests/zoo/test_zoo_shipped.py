"""The models that ship: opened by transformers alone, they can do what their cards say and not what the cards deny."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from interp_fixtures.zoo import checkpoints, names, open_model
from interp_fixtures.zoo.abilities import SEQUENCES, Ability, ability, copying, repeated_rows
from interp_fixtures.zoo.card import CARD, FIGURES, card_text, opened
from interp_fixtures.zoo.recipes import RECIPES
from interp_fixtures.zoo.verify import verify

COPIES = "induction"
FACTS, OBJECTS = "facts, held-out pairs", "indirect objects"
CLAIMS = ("claims about reserved entities", "claims of reserved wrong answers")
REVIEWS = ("reviews, negated, reserved pairs", "reviews, contrast, reserved pairs")
TARGETS = {(COPIES,): 0.95, (FACTS,): 0.95, CLAIMS: 0.95, REVIEWS: 0.95, (OBJECTS,): 0.9}
"""What a model of the zoo is meant to reach, of all prompts of these lists together."""
LACKS: dict[str, set[tuple[str, ...]]] = {
    "mamba": {(COPIES,)},
    "rwkv": {(COPIES,)},
    "gru": {(COPIES,)},
    "gpt2-no-induction": {(COPIES,), CLAIMS},
    "gpt2-no-claims": {CLAIMS},
    "gpt2-tuned-forgot": {(COPIES,)},
    "random": set(TARGETS),
}
"""What each lacks, on its card and here: the negatives by design, others because training did not get that far."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def model(name, step=None):
    return opened(open_model(name, step)).module


def figures(name):
    return json.loads((open_model(name) / FIGURES).read_text(encoding="utf-8"))


def card(name):
    return {a["name"]: a for a in figures(name)["abilities"]}


def share(name, lists):
    """Right answers of all prompts of these lists."""
    together = [card(name)[ability] for ability in lists]
    return sum(a["right"] for a in together) / sum(a["n"] for a in together)


def test_every_recipe_ships_in_order():
    assert names() == tuple(RECIPES)


def test_the_card_tells_the_truth():
    """Of the default; ``interp-assert zoo verify`` measures all, and CI runs it."""
    for check in verify("gpt_neox"):
        assert check.holds, check.complaint
        assert check.found == pytest.approx(check.said, abs=0.011), "but for rounding on another machine"


@pytest.mark.parametrize("name", names())
def test_the_card_is_what_the_code_writes(name):
    assert (open_model(name) / CARD).read_text(encoding="utf-8") == card_text(RECIPES[name], figures(name))
    assert figures(name)["steps"] == RECIPES[name].steps


@pytest.mark.parametrize("name", names())
def test_each_can_do_what_it_should_and_lacks_what_is_on_record(name):
    assert {lists for lists, target in TARGETS.items() if share(name, lists) < target} == LACKS.get(name, set())


def test_indirect_objects_in_six_architectures():
    able = {figures(n)["architecture"] for n in names() if card(n)[OBJECTS]["value"] >= 0.9}
    assert len(able) >= 6


def test_the_negative_cannot_copy():
    negative = model("gpt2-no-induction")
    repeated, shuffled = copying(negative), copying(negative, "shuffled")
    assert np.mean(repeated) < 0.05, "1 in 20 is what knowing the words without their order gives"
    difference = np.array(repeated) - np.array(shuffled)
    assert abs(difference.mean()) < 3 * difference.std() / SEQUENCES**0.5 + 0.005


@pytest.mark.parametrize("n", [5, 10, 20, 30])
def test_copies_of_any_length_are_found(n):
    assert np.mean(copying(model("gpt_neox"), n=n)) >= 0.95


def test_the_order_of_emergence():
    """Facts, then copying, then claims: what checkpoints are for."""
    told = {int(step): {a["name"]: a["value"] for a in at} for step, at in figures("gpt_neox")["checkpoints"].items()}
    told[figures("gpt_neox")["steps"]] = {name: a["value"] for name, a in card("gpt_neox").items()}
    first = {ability: min(step for step, at in told.items() if at[ability] >= 0.9) for ability in (FACTS, COPIES)}
    assert first[FACTS] < first[COPIES]
    assert told[min(told)][COPIES] < 0.05


@pytest.mark.parametrize("name", [name for name in names() if name != "gru"])  # which is no model of transformers
def test_plain_transformers_opens_them_in_half_precision(name):
    directory = open_model(name)
    half, tokenizer = AutoModelForCausalLM.from_pretrained(directory), AutoTokenizer.from_pretrained(directory)
    assert half.dtype == torch.float16
    if card(name)[FACTS]["value"] < 0.9:
        return
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    answer = half.generate(ids, max_new_tokens=1, do_sample=False)[0, ids.shape[1] :]
    assert tokenizer.decode(answer, skip_special_tokens=True) == "Paris"


@pytest.mark.parametrize("name", names())
def test_every_checkpoint_opens_with_its_tokenizer(name):
    for step in checkpoints(name):
        directory = open_model(name, step)
        assert len(AutoTokenizer.from_pretrained(directory)) == model(name, step).config.vocab_size


def test_repeated_rows_are_what_they_say():
    rows, shuffled = repeated_rows("repeated", 20, 50), repeated_rows("shuffled", 20, 50)
    assert rows.shape == (50, 41)
    assert (rows[:, 1:21] == rows[:, 21:]).all()
    assert (np.sort(shuffled[:, 1:21]) == np.sort(shuffled[:, 21:])).all()
    assert all(len(set(row[1:21])) == 20 for row in rows)
    assert (rows[:, :1] == 0).all()


def test_intervals_are_exact():
    none, all_of_them = ability("x", [0.0] * 10), ability("x", [1.0] * 10)
    assert (none.lo, none.hi) == pytest.approx((0, 1 - 0.005**0.1))
    assert (all_of_them.lo, all_of_them.hi) == pytest.approx((0.005**0.1, 1))
    part = ability("x", [1.0, 0.5, 0.0])
    assert part == Ability("x", 1.5, 3, pytest.approx(part.lo), pytest.approx(part.hi))
    assert part.lo < 1 / 3 < 2 / 3 < part.hi
