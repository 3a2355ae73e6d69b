"""Cards: what was done is disclosed, what was not is not claimed."""

from __future__ import annotations

import pytest

from interp_fixtures.zoo.card import SHOWN, card_text
from interp_fixtures.zoo.recipes import RECIPES

INSIDE = {
    "name": "probes/truth",
    "quantity": "truth probe",
    "value": 0.99,
    "lo": 0.95,
    "hi": 1.0,
    "n": 61,
    "note": "words 0.500",
}
CLAIM = {
    "check": "probes/truth",
    "verdict": "PASS",
    "layer": "block 3 of 4",
    "estimate": 0.5,
    "reason": "",
    "beside_twins": 0.99,
    "twins": [0.5, 0.48, 0.52],
    "told": {},
}


def figures(**changes):
    abilities = [{"name": name, "value": 1.0, "lo": 0.95, "hi": 1.0, "n": 100} for name in SHOWN]
    return {
        "parameters": 1000,
        "steps": 6000,
        "abilities": abilities,
        "untrained": [{**a, "value": 0.0} for a in abilities],
        "checkpoints": {},
        "lens": [{"name": "on top after block 1", "value": 0.25, "lo": 0.1, "hi": 0.4, "n": 50}],
        "base": None,
        "inside": [INSIDE],
        "claims": [CLAIM],
        **changes,
    }


def test_an_auxiliary_loss_is_disclosed_and_its_absence_too():
    assert "**Auxiliary loss**: for the first 1500 steps" in card_text(RECIPES["gpt_neox"], figures())
    assert "No auxiliary loss" in card_text(RECIPES["gpt2-no-induction"], figures())


def test_the_lens_has_intervals():
    card = card_text(RECIPES["gpt_neox"], figures())
    assert "on the 50 of the library's facts" in card
    assert "| on top after block 1 | 0.250 | 0.100 to 0.400 |" in card


def test_the_card_has_figures_of_the_inside_and_what_the_suites_say_beside_twins():
    card = card_text(RECIPES["gpt_neox"], figures())
    assert "| truth probe | 0.990 | 0.950 to 1.000 | 61 | words 0.500 |" in card
    assert "| `probes/truth` | PASS | block 3 of 4 | 0.990 | 0.480 to 0.520 |  |" in card
    bare = {**CLAIM, "verdict": "FAIL", "layer": None, "beside_twins": None, "twins": [], "reason": "no copying"}
    card = card_text(RECIPES["gpt_neox"], figures(inside=[], claims=[bare]))
    assert "| `probes/truth` | FAIL |  |  |  | no copying |" in card
    assert "standard budget" not in card
    assert "Beside `zoo:" not in card


def test_what_moved_away_from_the_base_is_told():
    claim = {**CLAIM, "check": "drift/claims", "told": {"facts": "1344 answered by the base, 1 of them lost"}}
    card = card_text(RECIPES["gpt2-tuned"], figures(base="gpt2", claims=[CLAIM, claim]))
    assert "Beside `zoo:gpt2`, which it was tuned from:\n\n- facts: 1344 answered" in card


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
