"""What a profile costs over the bare forward passes that it needs, as a ratio within one run. Run with
``--benchmark-only``.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from prompts.words import metaspace_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

from interp_assert.assertions.drift import DEFAULTS
from interp_assert.assertions.drift.readings import readings_of
from interp_assert.assertions.lens_crossover import listed_facts
from interp_assert.assertions.probe_task import probe_task
from interp_assert.assertions.steers_run import SteeringRun, steer
from interp_assert.measures.activations import forget, read_last
from interp_assert.measures.probes import KINDS, ProbeProblem
from interp_assert.measures.steering import ALPHAS, class_difference
from interp_assert.models import Model, wrap
from interp_assert.profiles import Request, profile, profiled_measures
from interp_assert.prompts import RepeatedTokenStream, continents, labelled_set, statements, token_pool
from interp_assert.prompts.shipped import SHIPPED_SETS

from .ratios import ratio_in_turns

CLUSTERS = 2
TINY = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 4096}


def gpt2(seed: int = 0, **config: Any) -> Model:
    """A random GPT-2, small as released if nothing else is said; its tokenizer knows all words of the shipped texts."""
    texts = [f"{each.prompt} {each.target}" for each in statements()]
    texts += [text for name in SHIPPED_SETS for text in labelled_set(name).texts]
    words = dict.fromkeys(piece for text in texts for piece in (text.split()[0], *(f"▁{w}" for w in text.split())))
    torch.manual_seed(seed)
    module = GPT2LMHeadModel(GPT2Config(bos_token_id=1, eos_token_id=2, **config))
    return wrap(module, metaspace_tokenizer(list(words)), id=f"gpt2-{seed}")


@pytest.fixture(scope="module")
def small() -> Model:
    return gpt2()


@pytest.fixture
def tiny() -> Model:
    return gpt2(**TINY)


@pytest.fixture
def base() -> Model:
    return gpt2(seed=1, **TINY)


def rows_of_induction_and_lens(model: Model, most: int) -> list[tuple[int, ...]]:
    clusters = RepeatedTokenStream(token_pool(model), n=20, seed=0).take(0, most)
    rows = [row for cluster in clusters for row in (cluster.repeated, cluster.shuffled, cluster.unrepeated)]
    facts = listed_facts(model, None, 0, most).facts
    assert len(facts) == most * 21
    return rows + [fact.ids for fact in facts]


def test_a_profile(benchmark: Any, small: Model) -> None:
    """At most 2.5 times its bare forward passes: the same rows, in the same batches, with all their logits.

    Of induction and lens alone, which make logits at every position and after every block: probes and steering stop
    early and make few, so that with them the ratio is lower (1.03 over everything but the coder, 24 clusters each).
    """
    rows, module = rows_of_induction_and_lens(small, CLUSTERS), small.module

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


def test_the_passes_of_a_profile(benchmark: Any, tiny: Model, base: Model) -> None:
    """None that it does not need: every row of induction, every fact, every text of a probe and every text that a
    direction is made of goes through the model once, every steered prompt once for each dose, every document that
    drift is read on once through the model and once through its base.

    What is asked afterwards about the same texts costs nothing: other probes of them, a steering direction, drift by
    block and of the weights.
    """
    clusters = 24
    asked = Request(clusters, base=base)
    names = [measure.name for measure in profiled_measures(base=True)]
    assert len(names) == 10, "all but the coder"
    rows = rows_of_induction_and_lens(tiny, clusters)
    tasks = {name: probe_task(tiny, labelled_set(name), "best", None, clusters, 0) for name in SHIPPED_SETS}
    for task in tasks.values():
        assert not isinstance(task, str)
        rows += task.rows.rows
    steered = steer(tiny, continents(), ("Europe", "Asia"), layer=2, at_most=clusters, seed=0)
    assert isinstance(steered, SteeringRun)
    rows += [*steered.train.rows, *(row for row in steered.prompts.rows for _ in ALPHAS)]
    forget(tiny)
    with tiny.metered() as span:
        made = benchmark.pedantic(lambda: profile(tiny, budget=clusters, base=base), rounds=1, warmup_rounds=0)
    assert [figure.missing for figure in made.figures if figure.measure != "lens/crossover"] == [""] * 9
    read = [document.ids for document in readings_of(tiny, base, None, DEFAULTS.length, 0).documents.take(0, clusters)]
    benchmark.extra_info.update(passes=span.forward_passes, tokens=span.tokens)
    assert span.tokens == sum(len(row) for row in (*rows, *read))

    with tiny.metered() as again, base.metered() as of_base:
        for task in tasks.values():
            features = read_last(tiny, task.rows.rows, task.sites, names=task.rows.texts)
            for kind in KINDS:
                ProbeProblem(features, task.split).fit(task.rows.labels, kind=kind)
        class_difference(tiny, steered.train.rows, steered.train.labels, [steered.site])
        for measure in profiled_measures(["drift/output", "drift/residual", "drift/weights"], base=True):
            measure.figures(tiny, asked)
    assert (again.tokens, of_base.tokens) == (0, 0)
