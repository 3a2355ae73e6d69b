"""What measuring costs over the bare forward passes, as ratios within one run. Run with ``--benchmark-only``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interp_assert.measures import measure_induction
from interp_assert.models import Model, wrap
from interp_assert.models.discovery.discover import discover
from interp_assert.models.proving.proof import PROOF_LENGTH
from interp_assert.prompts import RepeatedTokenStream, token_pool

from .ratios import ratio_in_turns


@pytest.fixture(scope="module")
def small() -> Model:
    """A random model of the size of GPT-2 small: 12 blocks, d_model 768, 124 million parameters."""
    torch.manual_seed(0)
    return wrap(GPT2LMHeadModel(GPT2Config()), id="gpt2-small-sized")


def state(benchmark: Any, facts: dict[str, Any]) -> None:
    benchmark.extra_info.update(facts, threads=1, device="cpu", dtype="float32")


def test_reading_all_residuals(benchmark: Any, small: Model) -> None:
    """At most 1.15 times the plain forward pass."""
    ids = torch.randint(1000, 10000, (4, 64), generator=torch.Generator().manual_seed(0))
    read = ["blocks.*.resid_pre", "blocks.*.resid_post"]
    module = small.module

    def plain() -> Any:
        with torch.no_grad():
            return module(input_ids=ids, use_cache=False).logits

    def traced() -> Any:
        return small.trace(ids, read=read)

    ratio, facts = ratio_in_turns(traced, plain)
    state(benchmark, facts)
    benchmark.pedantic(traced, rounds=1, warmup_rounds=0)
    assert ratio <= 1.15, facts


def test_the_induction_measurement(benchmark: Any, small: Model) -> None:
    """At most 1.3 times its bare forward passes: the same rows, in the same batches, with all their logits."""
    clusters = RepeatedTokenStream(token_pool(small), n=20, seed=0).take(0, 8)
    rows = [row for cluster in clusters for row in (cluster.repeated, cluster.shuffled, cluster.unrepeated)]
    module = small.module

    def bare() -> None:
        with torch.no_grad():
            for _, ids in small.batches(rows):
                module(input_ids=ids, use_cache=False)

    def measured() -> Any:
        return measure_induction(small, clusters)

    ratio, facts = ratio_in_turns(measured, bare)
    state(benchmark, facts)
    benchmark.pedantic(measured, rounds=1, warmup_rounds=0)
    assert ratio <= 1.3, facts


def test_discovery_and_proof(benchmark: Any, small: Model) -> None:
    """At most 6 plain forward passes over the same rows: the anatomy with everything that is proven at load."""
    ids = torch.randint(1000, 10000, (small.anatomy.n_blocks + 1, PROOF_LENGTH))
    module = small.module

    def plain() -> None:
        with torch.no_grad():
            module(input_ids=ids, use_cache=False)

    def discovered() -> Any:
        return discover(small)

    ratio, facts = ratio_in_turns(discovered, plain)
    state(benchmark, facts)
    benchmark.pedantic(discovered, rounds=1, warmup_rounds=0)
    assert ratio <= 6, facts


def test_reading_every_pattern(benchmark: Any, small: Model) -> None:
    """At most 1.5 times the plain forward pass, although fused attention has to be carried out in its plain form."""
    ids = torch.randint(1000, 10000, (4, 64), generator=torch.Generator().manual_seed(0))
    module = small.module
    small.trace(ids, read=["blocks.*.attn.pattern"])  # proven on first use, which is no part of the pass

    def plain() -> Any:
        with torch.no_grad():
            return module(input_ids=ids, use_cache=False).logits

    def traced() -> Any:
        return small.trace(ids, read=["blocks.*.attn.pattern"])

    ratio, facts = ratio_in_turns(traced, plain)
    state(benchmark, facts)
    benchmark.pedantic(traced, rounds=1, warmup_rounds=0)
    assert ratio <= 1.5, facts
