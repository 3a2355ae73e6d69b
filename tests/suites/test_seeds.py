"""Twenty seeds, twenty different sets of prompts and twins: one verdict for each claim about each model of the zoo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from interp_assert import InterpAssertionError, Verdict, assert_induction, assert_lens_crossover, load

EXPECTED = {
    "zoo:gpt_neox": {assert_induction: "PASS", assert_lens_crossover: "PASS"},
    "zoo:gpt2": {assert_induction: "PASS", assert_lens_crossover: "PASS"},
    "zoo:gpt2-no-induction": {assert_induction: "FAIL", assert_lens_crossover: "PASS"},
}


def verdict_of(claim: Callable[..., Verdict], model: object, seed: int) -> str:
    try:
        return str(claim(model, seed=seed).outcome)
    except InterpAssertionError as failure:
        return str(failure.verdict.outcome)


@pytest.mark.parametrize("claim", [assert_induction, assert_lens_crossover])
@pytest.mark.parametrize("name", EXPECTED)
def test_every_seed_gives_the_same_verdict(name: str, claim: Callable[..., Verdict]) -> None:
    model = load(name)
    verdicts = Counter(verdict_of(claim, model, seed) for seed in range(20))
    assert verdicts == {EXPECTED[name][claim]: 20}
