"""Decoy targets: another entity's answer, never the own token."""

from __future__ import annotations

from interp_assert.controls import decoy_targets
from interp_assert.prompts import Fact


def fact(entity: str, target: int, relation: str = "r", template: str = "t") -> Fact:
    return Fact(entity, relation, template, entity, "x", (1, 2), target)


def test_every_decoy_is_another_entitys_answer_to_the_same_question() -> None:
    facts = [fact(f"e{i}", 100 + i, "capital") for i in range(12)] + [
        fact(f"e{i}", 200 + i % 3, "language") for i in range(12)
    ]
    decoys = decoy_targets(facts, seed=1)
    for one, decoy in zip(facts, decoys, strict=True):
        assert decoy != one.target_id
        assert decoy in {f.target_id for f in facts if f.relation == one.relation and f.cluster != one.cluster}


def test_all_templates_of_an_entity_share_the_decoy() -> None:
    facts = [fact(f"e{i}", i, template=f"t{t}") for i in range(6) for t in range(4)]
    decoys = decoy_targets(facts)
    assert all(len(set(decoys[4 * i : 4 * i + 4])) == 1 for i in range(6))
    assert len(set(decoys)) == 6, "a circle: each answer is used once where answers differ"


def test_without_another_answer_the_own_target_stays_and_counts_against_the_claim() -> None:
    assert decoy_targets([fact("a", 7), fact("b", 7)]) == [7, 7]
    assert decoy_targets([fact("a", 7)]) == [7]


def test_the_seed_and_the_names_decide() -> None:
    facts = [fact(f"e{i}", i) for i in range(20)]
    assert decoy_targets(facts, 1) == decoy_targets(facts[::-1], 1)[::-1]
    assert decoy_targets(facts, 1) != decoy_targets(facts, 2)
