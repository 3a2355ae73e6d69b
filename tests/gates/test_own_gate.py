"""The gate that CI runs over the zoo stays one that can be run."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from interp_assert.gates import read_gate, resolve

from .suites import SUITES

FILE = Path(__file__).resolve().parents[2] / ".ci" / "zoo.interp.yaml"


def test_it_is_over_four_models_and_claims_induction_of_each() -> None:
    gate = resolve(read_gate(FILE), SUITES, FILE.parent, date.today())
    assert len(gate.models) == 4
    for model in gate.models:
        assert {"circuits/induction", "lens/crossover"} == {claim.check for claim in model.claims}
        assert all(claim.can_block for claim in model.claims)
