"""What a profile costs over the bare forward passes that it needs, as a ratio within one run. Run with
``--benchmark-only``.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from prompts.words import metaspace_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

from interp_assert.assertions.lens_crossover import listed_facts
from interp_assert.assertions.steers_run import SteeringRun, steer
from interp_assert.measures.activations import forget
from interp_assert.measures.steering import ALPHAS
from interp_assert.models import Model, wrap
from interp_assert.profiles import profile
from interp_assert.prompts import RepeatedTokenStream, continents, statements, token_pool

from .ratios import ratio_in_turns

CLUSTERS = 2


@pytest.fixture(scope="module")
def small() -> Model:
    """A random model of the size of GPT-2 small, with a tokenizer that knows the words of the shipped facts."""
    torch.manual_seed(0)
    words = sorted({f"▁{word}" for each in statements() for word in f"{each.prompt} {each.target}".split()})
    words += [each.prompt.split()[0] for each in statements()]
    tokenizer = metaspace_tokenizer(list(dict.fromkeys(words)))
    return wrap(GPT2LMHeadModel(GPT2Config(bos_token_id=1, eos_token_id=2)), tokenizer, id="gpt2-small-sized")


def rows_of_induction_and_lens(model: Model) -> list[tuple[int, ...]]:
    clusters = RepeatedTokenStream(token_pool(model), n=20, seed=0).take(0, CLUSTERS)
    rows = [row for cluster in clusters for row in (cluster.repeated, cluster.shuffled, cluster.unrepeated)]
    facts = listed_facts(model, None, 0, CLUSTERS).facts
    assert len(facts) == CLUSTERS * 21
    return rows + [fact.ids for fact in facts]


def test_a_profile(benchmark: Any, small: Model) -> None:
    """At most 2.5 times its bare forward passes: the same rows, in the same batches, with all their logits.

    Of induction and lens alone: steering stops early and makes few logits, so with it the ratio is lower.
    """
    rows, module = rows_of_induction_and_lens(small), small.module

    def bare() -> None:
        with torch.no_grad():
            for _, ids in small.batches(rows):
                module(input_ids=ids, use_cache=False)

    def profiled() -> Any:
        return profile(small, budget=CLUSTERS, only=["circuits/induction", "lens/crossover"])

    profiled()  # patterns are proven on first use, which is no part of a profile
    ratio, facts = ratio_in_turns(profiled, bare, rounds=3)
    benchmark.extra_info.update(facts, threads=1, device="cpu", dtype="float32")
    benchmark.pedantic(profiled, rounds=1, warmup_rounds=0)
    assert ratio <= 2.5, facts


def test_the_passes_of_a_profile(benchmark: Any, small: Model) -> None:
    """None that it does not need: every row of induction, every fact and every text that a direction is made of goes
    through the model once, every steered prompt once for each dose.
    """
    steered = steer(small, continents(), ("Europe", "Asia"), layer=6, at_most=CLUSTERS, seed=0)
    assert isinstance(steered, SteeringRun)
    rows = rows_of_induction_and_lens(small)
    rows += [*steered.train.rows, *(row for row in steered.prompts.rows for _ in ALPHAS)]
    only = ["circuits/induction", "lens/crossover", "controls/steering"]
    profile(small, budget=CLUSTERS, only=only)
    forget(small)
    with small.metered() as span:
        benchmark.pedantic(lambda: profile(small, budget=CLUSTERS, only=only), rounds=1, warmup_rounds=0)
    benchmark.extra_info.update(passes=span.forward_passes, tokens=span.tokens)
    assert span.tokens == sum(len(row) for row in rows)
