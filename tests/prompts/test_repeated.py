"""The stream of repeated random tokens: what each row holds, and what it depends on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_assert.errors import UsageProblem
from interp_assert.prompts.pool import TokenPool
from interp_assert.prompts.repeated import PoolTooSmall, RepeatedTokenStream


def pool(size: int = 100, bos: int | None = 0) -> TokenPool:
    return TokenPool(np.arange(10, 10 + size), bos, "test")


def bigrams(tokens: tuple[int, ...]) -> set[tuple[int, int]]:
    return set(pairwise(tokens))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 25),
    seed=st.integers(0, 2**40),
    k=st.integers(0, 10_000),
    size=st.integers(50, 300),
    bos=st.sampled_from([None, 0]),
)
def test_every_row_is_what_its_name_says(n: int, seed: int, k: int, size: int, bos: int | None) -> None:
    (cluster,) = RepeatedTokenStream(pool(size, bos), n, seed).take(k, 1)
    start = cluster.offset
    first = cluster.repeated[start : start + n]
    parts = {name: getattr(cluster, name)[start + n :] for name in ("repeated", "shuffled", "unrepeated")}
    assert len(set(first)) == n, "no repeats within a copy"
    for name in parts:
        row = getattr(cluster, name)
        assert len(row) == start + 2 * n
        assert row[: start + n] == cluster.repeated[: start + n], "the first copy is shared"
        assert row[:start] == (() if bos is None else (bos,))
    assert parts["repeated"] == first
    assert sorted(parts["shuffled"]) == sorted(first)
    assert not bigrams(parts["shuffled"]) & bigrams(first)
    assert not set(parts["unrepeated"]) & set(first)
    assert len(set(parts["unrepeated"])) == n


def test_a_cluster_depends_on_seed_n_and_index_only() -> None:
    stream = RepeatedTokenStream(pool(), 20, seed=3)
    all_at_once = stream.take(0, 40)
    assert [c for k in range(0, 40, 10) for c in RepeatedTokenStream(pool(), 20, seed=3).take(k, 10)] == all_at_once
    assert len({c.id for c in all_at_once}) == 40
    others = RepeatedTokenStream(pool(), 20, seed=4).take(0, 40)
    assert all(a.repeated != b.repeated for a, b in zip(all_at_once, others, strict=True))
    assert not {c.id for c in all_at_once} & {c.id for c in others}


def test_a_seed_replays_the_same_rows_for_ever() -> None:
    (cluster,) = RepeatedTokenStream(pool(), 4, seed=1).take(7, 1)
    assert cluster.id == "repeated/n=4/seed=1/7"
    assert (cluster.repeated, cluster.shuffled, cluster.unrepeated) == GOLDEN


GOLDEN = (
    (0, 24, 65, 84, 59, 24, 65, 84, 59),
    (0, 24, 65, 84, 59, 84, 65, 59, 24),
    (0, 24, 65, 84, 59, 53, 42, 94, 49),
)


def test_shuffled_orders_are_uniform_over_those_without_successions() -> None:
    stream = RepeatedTokenStream(pool(), 4, seed=0)
    counts: dict[tuple[int, ...], int] = {}
    for cluster in stream.take(0, 2200):
        first, second = cluster.shuffled[1:5], cluster.shuffled[5:]
        order = tuple(first.index(token) for token in second)
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 11, "of the 24 orders of four, 11 have no succession"
    assert min(counts.values()) > 140
    assert max(counts.values()) < 260


@pytest.mark.parametrize("n", [1, 0, -3, 2.5, True, "20"])
def test_bad_n_is_named(n: object) -> None:
    with pytest.raises(UsageProblem, match="n = "):
        RepeatedTokenStream(pool(), n)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_bad_seed_is_named(seed: object) -> None:
    with pytest.raises(UsageProblem, match="seed"):
        RepeatedTokenStream(pool(), 20, seed)  # type: ignore[arg-type]


def test_too_small_a_vocabulary_says_what_would_fit() -> None:
    with pytest.raises(PoolTooSmall, match=r"2n = 40 .* has 31 .* use n <= 15"):
        RepeatedTokenStream(pool(31), 20)
