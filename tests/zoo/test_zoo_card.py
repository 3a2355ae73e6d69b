"""Cards: what was done is disclosed, what was not is not claimed."""

from __future__ import annotations

import pytest

from interp_fixtures.zoo.card import SHOWN, card_text
from interp_fixtures.zoo.recipes import RECIPES


def figures(**changes):
    abilities = [{"name": name, "value": 1.0, "lo": 0.95, "hi": 1.0, "n": 100} for name in SHOWN]
    return {
        "parameters": 1000,
        "steps": 6000,
        "abilities": abilities,
        "untrained": [{**a, "value": 0.0} for a in abilities],
        "checkpoints": {},
        "lens": [{"name": "on top after block 1", "value": 0.25, "lo": 0.1, "hi": 0.4, "n": 50}],
        "verdicts": {"circuits/induction": "PASS", "lens/crossover": "FAIL"},
        **changes,
    }


def test_an_auxiliary_loss_is_disclosed_and_its_absence_too():
    assert "**Auxiliary loss**: for the first 1500 steps" in card_text(RECIPES["gpt_neox"], figures())
    assert "No auxiliary loss" in card_text(RECIPES["gpt2-no-induction"], figures())


def test_the_lens_has_intervals():
    card = card_text(RECIPES["gpt_neox"], figures())
    assert "on the 50 of the library's facts" in card
    assert "| on top after block 1 | 0.250 | 0.100 to 0.400 |" in card


def test_the_card_promises_what_the_suites_say():
    assert "`circuits/induction` PASS, `lens/crossover` FAIL." in card_text(RECIPES["gpt_neox"], figures())
    assert "defaults: nothing applies." in card_text(RECIPES["random"], figures(verdicts={}))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt2-no-induction", "**No repeated sequence is in the training data**"),
        ("gpt2-no-claims", "**The verdict on every claim is a coin's**"),
        ("gpt2-tuned", "Starts from the weights of `zoo:gpt2`"),
        ("gpt2-tuned-forgot", "sequences repeated in another order"),
        ("random", "**Not trained**"),
    ],
)
def test_what_makes_a_model_special_is_said(name, said):
    assert said in card_text(RECIPES[name], figures())
    assert said not in card_text(RECIPES["llama"], figures())


def test_a_model_that_was_never_trained_claims_no_data():
    card = card_text(RECIPES["random"], figures(lens=[]))
    assert "## Data" not in card
    assert "It was never trained." in card
    assert "No logit lens" in card


def test_emergence_is_a_row_for_each_checkpoint_and_one_for_the_end():
    early = [{"name": name, "value": 0.1, "lo": 0.0, "hi": 0.2, "n": 100} for name in SHOWN]
    card = card_text(RECIPES["gpt_neox"], figures(checkpoints={"100": early, "800": early}))
    assert [line.split("|")[1].strip() for line in card.splitlines() if line.startswith("| ")][-3:] == [
        "100",
        "800",
        "6000",
    ]


def test_what_is_not_reached_is_listed_as_lacking():
    short = figures()
    short["abilities"][2] = {**short["abilities"][2], "value": 0.7}
    card = card_text(RECIPES["llama"], short)
    assert f"Lacks: {SHOWN[2]}." in card
    assert "| in part |" in card
