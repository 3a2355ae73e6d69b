"""Twenty seeds, twenty different sets of prompts and twins (ten for the second and third model): one verdict for each
claim about each model of the zoo.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from interp_assert import InterpAssertionError, Verdict, assert_induction, assert_lens_crossover, load
from interp_assert.prompts import statements

CLAIMS: dict[str, Callable[..., Verdict]] = {
    "induction": assert_induction,
    "lens": partial(assert_lens_crossover, facts=statements(["capital"])),  # of one relation: a third of the time
}
EXPECTED = {
    "zoo:gpt_neox": {"induction": "PASS", "lens": "PASS"},
    "zoo:gpt2": {"induction": "PASS", "lens": "PASS"},
    "zoo:gpt2-no-induction": {"induction": "FAIL", "lens": "PASS"},
}
RUNS = [
    (name, claim, seeds)
    for name in EXPECTED
    for claim in CLAIMS
    for seeds in (range(10), range(10, 20))
    if name == "zoo:gpt_neox" or seeds.start == 0
]


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
@pytest.mark.parametrize(("name", "claim", "seeds"), RUNS, ids=lambda part: getattr(part, "start", part))
def test_every_seed_gives_the_same_verdict(name: str, claim: str, seeds: range) -> None:
    model = load(name)
    verdicts = Counter(verdict_of(CLAIMS[claim], model, seed) for seed in seeds)
    assert verdicts == {EXPECTED[name][claim]: len(seeds)}
