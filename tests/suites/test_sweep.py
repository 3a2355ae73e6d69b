"""A sweep over the checkpoints of the zoo's default model finds what its card says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import interp_fixtures.zoo

CARD = Path(interp_fixtures.zoo.__file__).parent / "weights" / "gpt_neox" / "abilities.json"

CLAIMS = '''
from dataclasses import dataclass

from interp_assert import assert_induction, assert_measured, measurement
from interp_assert.measures.answers import top_answers
from interp_assert.prompts import resolve_facts


@dataclass(frozen=True)
class Entity:
    id: str
    facts: list


def entities(model, seed):
    facts = resolve_facts(model, seed=seed).facts
    return [Entity(name, [f for f in facts if f.cluster == name]) for name in dict.fromkeys(f.cluster for f in facts)]


@measurement("facts/answered", prompts=entities, unit="share of facts")
def answered(model, prompts):
    """It answers facts about an entity."""
    facts = [fact for entity in prompts for fact in entity.facts]
    right = iter(top_answers(model, facts) == [fact.target_id for fact in facts])
    return [sum(next(right) for _ in entity.facts) / len(entity.facts) for entity in prompts]


def test_it_copies(interp_model, interp_settings):
    assert_induction(interp_model, floor=0.5, **interp_settings)


def test_it_knows_facts(interp_model, interp_settings):
    assert_measured(answered, interp_model, floor=0.5, **interp_settings)
'''


def emergence(steps: list[str], accuracy: list[float]) -> str:
    """As the sweep tells it, from the figures of the card."""
    held = [step for step, value in zip(steps, accuracy, strict=True) if value > 0.5]
    before = [step for step, value in zip(steps, accuracy, strict=True) if value <= 0.5]
    assert steps == before + held, "the ability comes and goes"
    return f"first holds at step {held[0]}, not yet at step {before[-1]}." if before else "holds at every step."


def test_induction_emerges_where_the_card_says_and_facts_before_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_step = json.loads(CARD.read_text("utf-8")).get("checkpoints")
    if by_step is None:
        pytest.skip("the card of this zoo:gpt_neox has no figures by step")
    steps = sorted(by_step, key=int)
    figures = {
        name: [next(a["value"] for a in by_step[step] if a["name"] == name) for step in steps]
        for name in ("induction", "facts, held-out pairs")
    }
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pytester.makepyfile(test_mine=CLAIMS)
    result = pytester.runpytest_subprocess(
        "-p", "no:hypothesispytest", "--interp-model=zoo:gpt_neox@all", "test_mine.py"
    )
    copies, knows = (emergence(steps, values) for values in figures.values())
    result.stdout.fnmatch_lines_random([f"circuits/induction {copies}", f"facts/answered {knows}"])
    first = {line: line.split()[4].rstrip(",") for line in (copies, knows) if line.startswith("first")}
    assert int(first[copies]) > int(first.get(knows, "0"))
