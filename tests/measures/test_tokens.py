"""Rank, hit, log-probability and KL of given logits."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_assert.measures.tokens import in_full, kl_to, log_probability, rank_of, top_hits


def test_rank_counts_the_tokens_above() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0]]).expand(3, 3)
    assert rank_of(logits, torch.tensor([0, 1, 2])).tolist() == [0, 2, 1]


def test_ties_count_against_the_target() -> None:
    logits = torch.zeros(2, 5)
    assert rank_of(logits, torch.tensor([0, 4])).tolist() == [4, 4]
    assert not top_hits(logits, torch.tensor([0, 4])).any()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=12), st.data())
def test_log_probability_and_rank_agree_with_the_definition(values: list[float], data: st.DataObject) -> None:
    target = data.draw(st.integers(0, len(values) - 1))
    logits = torch.tensor(values, dtype=torch.float64)
    total = math.log(sum(math.exp(v) for v in values))
    assert float(log_probability(logits, torch.tensor(target))) == pytest.approx(values[target] - total, abs=1e-9)
    assert int(rank_of(logits, torch.tensor(target))) == sum(v >= values[target] for v in values) - 1


def test_kl_is_zero_to_itself_and_right_otherwise() -> None:
    p = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log()
    q = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64).log()
    assert float(kl_to(p, p)) == 0.0
    assert float(kl_to(p, q)) == pytest.approx(0.5 * math.log(2) - 0.25 * math.log(2))


def test_tokens_without_probability_add_nothing_to_kl() -> None:
    p = torch.tensor([0.0, -math.inf])
    assert float(kl_to(p, p)) == 0.0


def test_half_precision_is_read_in_full() -> None:
    assert in_full(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert in_full(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
