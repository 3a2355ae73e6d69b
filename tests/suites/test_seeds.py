"""Twenty seeds, twenty different sets of prompts and twins: one verdict for each claim about each model of the zoo."""

from __future__ import annotations

import importlib
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


@pytest.fixture
def without_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The KL on text that the model samples takes a fifth of the time of a lens claim and decides nothing."""
    lens = importlib.import_module("interp_assert.assertions.lens_crossover")
    monkeypatch.setattr(lens, "text_kl", lambda model, seed: {})


@pytest.mark.usefixtures("without_text")
@pytest.mark.parametrize("seeds", [range(10), range(10, 20)], ids=["0-9", "10-19"])
@pytest.mark.parametrize("claim", [assert_induction, assert_lens_crossover])
@pytest.mark.parametrize("name", EXPECTED)
def test_every_seed_gives_the_same_verdict(name: str, claim: Callable[..., Verdict], seeds: range) -> None:
    model = load(name)
    verdicts = Counter(verdict_of(claim, model, seed) for seed in seeds)
    assert verdicts == {EXPECTED[name][claim]: len(seeds)}
