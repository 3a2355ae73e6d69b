"""``assert_lens_crossover`` decides rightly on models that look up answers at known blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from measures.small import gpt2
from oracles import lens_lookup

from interp_assert.assertions import InterpAssertionError, NotApplicable, assert_lens_crossover
from interp_assert.errors import UsageProblem
from interp_assert.models import Model, load, wrap
from interp_assert.prompts import Fact, ResolvedFacts, Statement
from interp_assert.stats import Outcome

from .outcome import control, verdict_of

N = 40


def looked_up(early: float, n: int = N, *, early_block: int = 2, unanswered: int = 0) -> Model:
    """A model of 4 blocks that decides a share of its entities early, the others in the last block."""
    decides = [early_block if i < early * n else 4 for i in range(n)]
    decides[n - unanswered :] = [0] * unanswered
    return wrap(lens_lookup.build(decides), id="oracle:lookup")


FACTS = lens_lookup.facts(N, templates=2)


def test_answers_that_cross_over_early_pass_with_every_control() -> None:
    verdict = assert_lens_crossover(looked_up(1.0), facts=FACTS)
    assert verdict.outcome is Outcome.PASS
    assert [(c.name, c.outcome) for c in verdict.controls] == [
        ("shuffled_targets", Outcome.PASS),
        ("random_weights", Outcome.PASS),
    ]
    assert verdict.layer == "block 3 of 4"
    assert verdict.estimate == 1.0
    assert verdict.n < N
    assert verdict.details["median_block"] == 2
    assert verdict.details["answered_entities"] == N
    json.dumps(verdict.as_dict(), allow_nan=False)


def test_answers_that_come_late_fail() -> None:
    with pytest.raises(InterpAssertionError) as failure:
        assert_lens_crossover(looked_up(0.0), facts=FACTS, twins=2)
    assert failure.value.verdict.outcome is Outcome.FAIL
    assert failure.value.verdict.details["median_block"] == 4


@pytest.mark.parametrize(("early", "claim"), [(0.5, Outcome.PASS), (0.475, Outcome.FAIL)])
def test_a_list_drawn_to_its_end_is_decided_exactly(early: float, claim: Outcome) -> None:
    for seed in range(3):
        verdict = verdict_of(assert_lens_crossover, looked_up(early), facts=FACTS, seed=seed, twins=2)
        assert verdict.claim_outcome is claim


@pytest.mark.parametrize(
    ("block", "claim"), [(1, Outcome.FAIL), (2, Outcome.PASS), (3, Outcome.PASS), (4, Outcome.PASS)]
)
def test_the_block_is_counted_from_one(block: int, claim: Outcome) -> None:
    verdict = verdict_of(assert_lens_crossover, looked_up(1.0), facts=FACTS, block=block, twins=2)
    assert verdict.claim_outcome is claim
    assert verdict.layer == f"block {block} of 4"


def test_only_facts_that_the_model_answers_count() -> None:
    verdict = assert_lens_crossover(looked_up(1.0, unanswered=15), facts=FACTS)
    assert verdict.details["answered_entities"] == 25
    assert verdict.details["answered_facts"] == 50
    assert verdict.details["facts"] == 80
    assert verdict.measurements[0].n == 25


def test_too_few_answers_are_not_applicable_and_still_show_the_lens() -> None:
    with pytest.raises(NotApplicable, match="it answers facts of 19 entities, at least 20 are needed") as failure:
        assert_lens_crossover(looked_up(1.0, unanswered=21), facts=FACTS)
    details = failure.value.verdict.details
    assert len(details["kl_by_block"]) == 5
    assert details["kl_by_block"][-1] == 0.0
    assert details["by_block_over"].startswith("all facts")
    assert [row["block"] for row in details["by_block"]] == ["embed", 1, 2, 3, 4]


def test_without_a_tokenizer_the_shipped_facts_are_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="no tokenizer") as failure:
        assert_lens_crossover(gpt2())
    assert len(failure.value.verdict.details["kl_by_block"]) == 3


def test_a_model_that_ends_every_document_at_once_has_no_text_to_read() -> None:
    model = gpt2()
    with torch.no_grad():
        model.module.lm_head.weight.zero_()
        model.module.transformer.ln_f.bias.fill_(1.0)
        model.module.lm_head.weight[0] = 100.0
    with pytest.raises(NotApplicable) as failure:
        assert_lens_crossover(model)
    assert failure.value.verdict.details["kl_by_block"] is None
    assert "ends at once" in failure.value.verdict.details["kl_note"]


def test_the_table_by_block_counts_what_has_crossed() -> None:
    verdict = assert_lens_crossover(looked_up(0.75), facts=FACTS)
    assert [row["crossed"] for row in verdict.details["by_block"]] == [0, 0, 0.75, 0.75, 1.0]
    assert [row["rank 0"] for row in verdict.details["by_block"]] == [0, 0, 0.75, 0.75, 1.0]
    assert verdict.details["by_block"][-1]["KL"] == 0.0


def test_one_answer_for_all_fails_the_shuffled_targets() -> None:
    """A model that says the same whatever it is asked: every entity's answer is every other's."""
    module = lens_lookup.build([1] * N)
    facts = [Fact(f.cluster, f.relation, f.template, f.prompt, f.target, (0, 1), 1 + N) for f in FACTS]
    verdict = verdict_of(assert_lens_crossover, wrap(module), facts=facts, twins=2)
    assert verdict.claim_outcome is Outcome.PASS
    assert control(verdict, "shuffled_targets").outcome is Outcome.FAIL
    assert verdict.outcome is Outcome.FAIL


def test_twins_are_asked_all_answered_facts_wherever_the_gates_stopped() -> None:
    verdict = assert_lens_crossover(looked_up(1.0, unanswered=10), facts=FACTS)
    twins = control(verdict, "random_weights")
    assert twins.n == 30
    assert twins.details["trials"] == 60
    assert twins.approximate


def test_a_seed_replays() -> None:
    model = looked_up(0.75)
    one, two = (verdict_of(assert_lens_crossover, model, facts=FACTS, seed=5, twins=2).as_dict() for _ in range(2))
    for record in (one, two):
        record.pop("seconds")
    assert one == two
    other = verdict_of(assert_lens_crossover, model, facts=FACTS, seed=6, twins=2)
    assert other.measurements[0].clusters != tuple(
        verdict_of(assert_lens_crossover, model, facts=FACTS, seed=5, twins=2).measurements[0].clusters
    )


def test_a_list_longer_than_the_budget_is_cut_in_the_seeded_order_and_says_so() -> None:
    verdict = assert_lens_crossover(looked_up(1.0), facts=FACTS, budget=25)
    assert verdict.details["entities"] == 25
    assert "the first 25 of 40 entities" in verdict.details["facts_note"]


def test_resolved_facts_are_taken_as_they_are() -> None:
    resolved = ResolvedFacts(tuple(FACTS), {"nowhere": "unknown token"}, "given")
    assert assert_lens_crossover(looked_up(1.0), facts=resolved).details["dropped"] == {"nowhere": "unknown token"}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"floor": 1.0}, "floor=1.0"),
        ({"block": 0}, "block=0 must be a whole number from 1 to 4"),
        ({"block": 5}, "from 1 to 4"),
        ({"block": 2.0}, "block=2.0"),
        ({"twins": 0}, "twins=0"),
        ({"scheme": "sorcery"}, "sorcery"),
        ({"budget": "huge"}, "unknown budget"),
        ({"seed": None}, "seed=None"),
    ],
)
def test_impossible_requests_are_named(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageProblem, match=match):
        assert_lens_crossover(looked_up(1.0), facts=FACTS, **options)


def test_statements_are_resolved_in_the_models_tokens() -> None:
    from prompts.words import SPECIAL, metaspace_tokenizer

    entities = [f"e{i}" for i in range(N)]
    answers = [f"▁a{i}" for i in range(N)]
    words = [*entities, *answers, "rival"]
    tokenizer = metaspace_tokenizer([*(f"x{i}" for i in range(0)), *words])
    shift = len(SPECIAL)  # the oracle's ids start at 1, the tokenizer's at 3: leave two entities undecided in front
    module = lens_lookup.build([0] * (shift - 1) + [1] * N)
    texts = [Statement(e, "r", "t", e, a.removeprefix("▁")) for e, a in zip(entities, answers, strict=True)]
    resolved = verdict_of(assert_lens_crossover, wrap(module, tokenizer), facts=texts, twins=2)
    assert resolved.details["facts"] == N


@pytest.mark.shared
def test_a_real_model_without_facts_is_not_applicable_and_shows_its_lens(shared: Path) -> None:
    with pytest.raises(NotApplicable, match="answer is not a single token") as failure:
        assert_lens_crossover(load(str(shared / "models" / "stories260k")))
    kl = failure.value.verdict.details["kl_by_block"]
    assert kl == pytest.approx([22.0, 12.3, 5.5, 2.45, 0.93, 0.0], rel=0.15, abs=1e-12)
