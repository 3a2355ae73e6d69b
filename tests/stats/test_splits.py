"""A split never parts a group, gives every part both classes, and is the same whatever the order of the examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_assert.errors import UsageProblem
from interp_assert.stats import Split, split_by_group
from interp_assert.stats.splits import PARTS


def parts(split: Split, groups: list[str]) -> list[set[str]]:
    return [{groups[i] for i in getattr(split, part)} for part in PARTS]


@given(
    st.lists(st.sampled_from(["0", "1", "01", "011"]), min_size=0, max_size=40),
    st.integers(0, 100),
    st.randoms(use_true_random=False),
)
def test_groups_stay_whole_classes_everywhere_and_order_does_not_matter(
    kinds: list[str], seed: int, random: Any
) -> None:
    kinds = [*kinds, "0", "0", "0", "1", "1", "1"]
    examples = [(f"g{i}", int(label)) for i, kind in enumerate(kinds) for label in kind]
    groups, labels = [g for g, _ in examples], [y for _, y in examples]
    split = split_by_group(labels, groups, seed=seed)
    split.check(labels, groups)
    assert sorted(np.concatenate([split.train, split.select, split.test])) == list(range(len(examples)))
    assert sum(map(len, parts(split, groups))) == len(kinds)
    random.shuffle(examples)
    again = [g for g, _ in examples]
    assert parts(split_by_group([y for _, y in examples], again, seed=seed), again) == parts(split, groups)


def test_shares_are_kept_class_by_class() -> None:
    groups = [str(i) for i in range(400)]
    labels = [int(i >= 300) for i in range(400)]
    split = split_by_group(labels, groups)
    assert [len(getattr(split, part)) for part in PARTS] == [140, 60, 200]
    assert [sum(labels[i] for i in getattr(split, part)) for part in PARTS] == [35, 15, 50]
    other = split_by_group(labels, groups, shares=(1, 1, 2))
    assert [len(getattr(other, part)) for part in PARTS] == [100, 100, 200]


def test_seeds_differ() -> None:
    groups = [str(i) for i in range(40)]
    labels = [i % 2 for i in range(40)]
    found = {tuple(split_by_group(labels, groups, seed=seed).test) for seed in range(5)}
    assert len(found) == 5


@pytest.mark.parametrize(
    ("labels", "groups", "said"),
    [
        ([0, 0, 1, 1], "aabb", "1 group of class 0: train, select and test need one each, at least 3"),
        ([0, 1, 0, 1], "aabb", "2 groups of class 0"),
        ([0, 0, 0, 1, 1], "abcde", "2 groups of class 1"),
        ([1, 1, 1], "abc", "all 3 examples are of one class"),
        ([0, 1, 2], "abc", "labels must be 0 and 1"),
        ([0, 1], "abc", "give one of each"),
    ],
)
def test_impossible_splits_are_named(labels: list[int], groups: str, said: str) -> None:
    with pytest.raises(UsageProblem, match=said):
        split_by_group(labels, list(groups))


@pytest.mark.parametrize("shares", [(1, 1), (1, 0, 1), (1, float("nan"), 1)])
def test_impossible_shares_are_named(shares: Any) -> None:
    with pytest.raises(UsageProblem, match="must be three positive numbers"):
        split_by_group([0, 1] * 3, list("aabbcc"), shares=shares)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([True, False, True], "type bool; .* of a mask take numpy.flatnonzero"),
        ([0.0, 1.5], "type float64; give the places of its examples, whole numbers"),
        ([[0, 1]], r"the train part has shape \(1, 2\)"),
        (None, r"shape \(\) and type object"),
    ],
)
def test_what_is_no_row_of_places_is_named(places: Any, said: str) -> None:
    with pytest.raises(UsageProblem, match=said):
        Split(places, [2, 3], [4, 5])


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (Split([0, 1], [2, 3], [4, 5, 6]), "group 'c' is on both sides of the split, in select and in test"),
        (Split([0, 1], [2, 2, 3], [4, 5]), "names an example twice"),
        (Split([0, 1], [2, 3], [4, 9]), "names example 9, but there are 7"),
        (Split([0, 1], [2], [4, 5]), "the select part has no example of class 1"),
    ],
)
def test_a_split_of_ones_own_is_checked(split: Split, said: str) -> None:
    with pytest.raises(UsageProblem, match=said):
        split.check([0, 1, 0, 1, 0, 1, 1], ["a", "a", "b", "b", "d", "d", "c"] if "class" in said else list("aabcddc"))
