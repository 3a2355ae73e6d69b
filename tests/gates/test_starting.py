"""A first gate has floors that what was measured clears with the power that it states, and none that say nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interp_assert.errors import UsageProblem
from interp_assert.gates.starting import LEAST, SLACK, StartingModel, first_gate
from interp_assert.stats import QUICK, STANDARD, Budget, ErrorLevels
from interp_assert.stats.power import probability_of_pass
from interp_assert.stats.verdict import plain

from .suites import gate_of


def figure(value: float | None, low: float = 0.0, high: float = 1.0, **others: Any) -> dict[str, Any]:
    interval = None if value is None else plain((low, high))
    return {
        "measure": "circuits/induction",
        "quantity": "induction",
        "value": value,
        "interval": interval,
        "n": 512,
        "unit": "share",
        "note": "",
        "approximate": False,
        "missing": "" if value is not None else "the context\nis too short",
        "broken": False,
        "details": {},
        **others,
    }


def text_of(*figures: dict[str, Any], id: str = "zoo:alpha", name: str | None = None, budget: Budget = STANDARD) -> str:
    return first_gate([StartingModel(id, name, {"figures": figures})], budget=budget, power=0.95, schema="s.json")


def floors_of(text: str, folder: Path) -> dict[str, float | None]:
    return {claim.check: claim.floor for model in gate_of(text, folder).models for claim in model.claims}


def test_the_floor_is_cleared_with_the_power_that_is_stated(tmp_path: Path) -> None:
    text = text_of(figure(0.98, 0.95, 0.99))
    floor = floors_of(text, tmp_path)["circuits/induction"]
    assert floor is not None
    reached = probability_of_pass(0.95, floor, STANDARD.clusters, ErrorLevels())
    assert reached >= 0.95
    assert probability_of_pass(0.95, floor + 0.01, STANDARD.clusters, ErrorLevels()) < 0.95
    assert f"scores with a mean of 0.950 clear this with probability {reached:.3f}" in text
    assert text.startswith("# yaml-language-server: $schema=s.json\n")


def test_a_smaller_budget_gets_a_lower_floor(tmp_path: Path) -> None:
    quick = floors_of(text_of(figure(0.98, 0.95, 0.99), budget=QUICK), tmp_path)["circuits/induction"]
    standard = floors_of(text_of(figure(0.98, 0.95, 0.99)), tmp_path)["circuits/induction"]
    assert quick is not None
    assert standard is not None
    assert quick < standard


def test_no_floor_is_nearer_to_the_figure_than_the_slack(tmp_path: Path) -> None:
    floor = floors_of(text_of(figure(0.98, 0.979, 0.981)), tmp_path)["circuits/induction"]
    assert floor is not None
    assert floor == pytest.approx(0.98 - SLACK)


def test_a_list_that_was_measured_whole_is_decided_surely(tmp_path: Path) -> None:
    whole = figure(0.836, 0.836, 0.836, measure="lens/crossover", n=64)
    text = text_of(whole)
    assert floors_of(text, tmp_path) == {"lens/crossover": 0.78}
    assert "0.836 of all 64; a list that is drawn to its end is decided surely" in text


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (figure(None), "circuits/induction is left out: the context is too short"),
        (
            figure(0.03, 0.0, 0.06),
            "0.030, surely between 0.000 and 0.060 (512 prompts), which leaves no floor of 0.050",
        ),
        (figure(0.5, 0.45, 0.55, details={"shuffled": 0.48, "chance": 0.05}), "leaves no floor of 0.530 or more"),
        (figure(0.9, 0.8, 0.95, approximate=True, unit="AUROC"), "and this is 0.900 AUROC (approximate); write one"),
        (figure(5.0, 4.0, 6.0, unit="logits"), "a share with an exact interval, and this is 5.000 logits; write one"),
        (figure(0.9, 0.8, float("inf")), "a share with an exact interval, and this is 0.900 share; write one yourself"),
        (figure(0.5, 0.5, 0.5, measure="lens/crossover", n=64), f"no floor of {LEAST['lens/crossover']:.3f} or more"),
    ],
)
def test_what_would_say_nothing_is_left_out_with_its_reason(
    left_out: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    kept = figure(0.98, 0.97, 0.99, measure="toy/claim")
    text = text_of(left_out, kept)
    assert f"    # {left_out['measure']} is left out: " in text
    assert reason in text
    assert list(floors_of(text, tmp_path)) == ["toy/claim"]
    with pytest.raises(UsageProblem, match=r"no floor can be set for zoo:alpha: .* is left out"):
        text_of(left_out)


@pytest.mark.parametrize("id", ["./a b/ü", "../x", "org/m@1e5", "null", "x: y", "zoo:alpha", 'a"\n# b', "@at", "1e5"])
def test_any_id_comes_back_as_it_was(id: str, tmp_path: Path) -> None:
    from interp_assert.gates import read_gate

    path = tmp_path / "a.interp.yaml"
    path.write_text(text_of(figure(0.98, 0.95, 0.99), id=id, name="n.1"), encoding="utf-8")
    assert [(model.id, model.name) for model in read_gate(path).entries.models] == [(id, "n.1")]
