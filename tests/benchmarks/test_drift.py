"""What comparing a model with its base costs over the forward passes that it needs, as a ratio within one run."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interp_assert.measures import measure_drift
from interp_assert.models import wrap
from interp_assert.prompts import Document

from .ratios import ratio_in_turns


@pytest.mark.parametrize("parts", [False, True], ids=["streams and output", "heads and neurons too"])
def test_drift_over_the_two_plain_passes(benchmark: Any, parts: bool) -> None:
    """At most 2.5 times: every block's residual stream, CKA and the whole distribution at every position; GPT-2-small's
    width, three of its blocks, a vocabulary of 20,000.
    """
    torch.manual_seed(0)
    config = GPT2Config(n_layer=3, vocab_size=20_000, bos_token_id=0, eos_token_id=0)
    base = GPT2LMHeadModel(config).eval()
    tuned = copy.deepcopy(base)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.mul_(1.001)
    pair = wrap(tuned, id="tuned"), wrap(base, id="base")
    ids = torch.randint(1, 20_000, (6, 64), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = 0
    documents = [Document(str(i), tuple(row)) for i, row in enumerate(ids.tolist())]

    def plain() -> None:
        with torch.no_grad():
            for module in (base, tuned):
                _ = module(input_ids=ids, use_cache=False).logits

    def compared() -> Any:
        return measure_drift(*pair, documents, parts=parts)

    scores = compared()
    assert scores.cost.tokens == 2 * ids.numel(), "each document goes through each model once"
    ratio, facts = ratio_in_turns(compared, plain, rounds=5)
    benchmark.extra_info.update(facts, threads=1, device="cpu", dtype="float32", batch=6, length=64)
    benchmark.pedantic(compared, rounds=1, warmup_rounds=0)
    assert ratio <= 2.5, facts
