"""What a card says of the inside: what the suites and the profile say, and not what does not apply."""

from __future__ import annotations

import pytest

from interp_assert import load
from interp_fixtures.zoo import inside, open_model


def test_claims_are_what_the_suites_say():
    claims = {claim["check"]: claim for claim in inside.claims_of(open_model("gpt2"), suites=("circuits", "probes"))}
    assert list(claims) == ["circuits/induction", "probes/truth"]  # of tense and number it has no words
    induction = claims["circuits/induction"]
    assert induction["verdict"] == "PASS"
    assert set(induction["controls"].values()) == {"PASS"}
    assert max(induction["twins"]) < 0.1 < induction["beside_twins"]
    assert inside.verdicts(claims.values()) == {"circuits/induction": "PASS", "probes/truth": "PASS"}


def test_a_tuned_model_is_held_against_its_base():
    found = inside.claims_of(open_model("gpt2-tuned-forgot"), base="zoo:gpt2", suites=("circuits",))
    claims = {claim["check"]: claim for claim in found}
    assert claims["drift/claims"]["verdict"] == "FAIL"
    assert "FLIPPED" in claims["drift/claims"]["told"]["circuits/induction"]


def test_figures_have_intervals_and_drift_needs_a_base():
    model, base = load("zoo:gpt2-tuned"), load("zoo:gpt2")
    found = {figure["name"]: figure for figure in inside.figures_of(model, base)}
    assert list(found) == [*inside.FIGURES, *inside.DRIFT]
    assert all(figure["lo"] <= figure["value"] <= figure["hi"] for figure in found.values())
    assert found["drift/output"]["value"] < 0.1


def test_suites_that_cannot_be_run_are_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="could not be run on"):
        inside.claims_of(tmp_path, suites=("nonsense",))
