"""Train, select and test parts of labelled examples, made of whole groups: what is independent stays so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageProblem

__all__ = ["PARTS", "SHARES", "Split", "sample_groups", "split_by_group"]

PARTS = ("train", "select", "test")
SHARES = (0.35, 0.15, 0.5)
"""of the groups of each class that train, select and test get; most for the test, whose size decides"""


@dataclass(frozen=True, eq=False)
class Split:
    """Places of the examples of each part, int64, ascending.

    ``train`` is what a probe is fitted on, ``select`` what its penalty and layer are chosen on, ``test`` what it is
    judged on. Raises UsageProblem for anything but whole numbers in a row.
    """

    train: NDArray[np.int64]
    select: NDArray[np.int64]
    test: NDArray[np.int64]

    def __post_init__(self) -> None:
        for part in PARTS:
            object.__setattr__(self, part, _places(part, getattr(self, part)))

    def check(self, labels: Sequence[int] | ArrayLike, groups: Sequence[str]) -> None:
        """Raise UsageProblem if a group or example is on two sides, a place does not exist, or a part lacks a class."""
        marks = np.asarray(labels)
        side: dict[str, str] = {}
        for part in PARTS:
            places = getattr(self, part)
            outside = places[(places < 0) | (places >= len(marks))]
            if outside.size:
                raise UsageProblem(f"the {part} part names example {outside[0]}, but there are {len(marks)}")
            if len(set(places.tolist())) < len(places):
                raise UsageProblem(f"the {part} part names an example twice; name each once")
            for place in places:
                other = side.setdefault(groups[place], part)
                if other != part:
                    raise UsageProblem(
                        f"group {groups[place]!r} is on both sides of the split, in {other} and in {part}; "
                        "put all of its examples into one part"
                    )
            lacking = {0, 1} - set(marks[places].tolist())
            if lacking:
                raise UsageProblem(
                    f"the {part} part has no example of class {min(lacking)}; every part needs both classes"
                )


def _places(part: str, given: object) -> NDArray[np.int64]:
    """Places and nothing that would be turned into some: a mask is not, and neither are fractions."""
    places = np.asarray(given)
    if places.ndim == 1 and (places.size == 0 or np.issubdtype(places.dtype, np.integer)):
        return places.astype(np.int64)
    remedy = "; of a mask take numpy.flatnonzero" if places.dtype == np.bool_ else ""
    raise UsageProblem(
        f"the {part} part has shape {places.shape} and type {places.dtype}; give the places of its examples, "
        f"whole numbers from 0{remedy}"
    )


def split_by_group(
    labels: Sequence[int] | ArrayLike,
    groups: Sequence[str],
    *,
    shares: tuple[float, float, float] = SHARES,
    seed: int = 0,
) -> Split:
    """Whole groups into train, select and test, stratified by the classes that a group holds (0, 1 or both).

    What a group gets depends on its name, its classes and the seed, not on the order of the examples. Every part holds
    both classes. Raises UsageProblem for shares that are not three positive numbers, labels that are not 0 and 1, one
    class only, or fewer groups than three for a class.
    """
    if len(shares) != 3 or not all(isfinite(share) and share > 0 for share in shares):
        raise UsageProblem(f"shares={shares!r} must be three positive numbers, those of train, select and test")
    marks = _checked(labels, groups)
    total = float(sum(shares))
    side: dict[str, int] = {}
    for names in _strata(marks, groups, seed):
        counts = _apportioned(len(names), [share / total for share in shares])
        for part, members in enumerate(np.split(np.array(names, dtype=object), np.cumsum(counts)[:-1])):
            side |= dict.fromkeys(members.tolist(), part)
    parts = np.array([side[group] for group in groups])
    for mark in (0, 1):
        having = len({group for group, label in zip(groups, marks, strict=True) if label == mark})
        if len({part for part, label in zip(parts, marks, strict=True) if label == mark}) < 3:
            raise UsageProblem(
                f"{having} group{'' if having == 1 else 's'} of class {mark}: train, select and test need one each, "
                "at least 3; give more groups (dozens are needed for a decision)"
            )
    return Split(*(np.flatnonzero(parts == part) for part in range(3)))


def sample_groups(labels: Sequence[int] | ArrayLike, groups: Sequence[str], most: int, seed: int) -> frozenset[str]:
    """``most`` groups drawn with the seed, of each kind (of class 0, 1 or both) in proportion."""
    strata = _strata(_checked(labels, groups), groups, seed)
    sizes = [len(names) for names in strata]
    if most >= sum(sizes):
        return frozenset(name for names in strata for name in names)
    taken = _apportioned(most, [size / sum(sizes) for size in sizes])
    return frozenset(name for names, count in zip(strata, taken, strict=True) for name in names[:count])


def _checked(labels: Sequence[int] | ArrayLike, groups: Sequence[str]) -> NDArray[np.int64]:
    marks = np.asarray(labels)
    if marks.shape != (len(groups),):
        raise UsageProblem(f"labels of shape {marks.shape} for {len(groups)} groups; give one of each for each example")
    found = set(marks.tolist())
    if not found <= {0, 1}:
        raise UsageProblem(f"labels must be 0 and 1, not {sorted(found)[:4]}")
    if len(found) < 2:
        raise UsageProblem(f"all {len(marks)} examples are of one class; a split needs both")
    return marks.astype(np.int64)


def _strata(labels: NDArray[np.int64], groups: Sequence[str], seed: int) -> list[list[str]]:
    """The groups with class 0 only, with 1 only and with both, each in an order that the seed and the names decide."""
    held: dict[str, set[int]] = {}
    for group, label in zip(groups, labels.tolist(), strict=True):
        held.setdefault(group, set()).add(label)
    found = []
    for kind, classes in enumerate(({0}, {1}, {0, 1})):
        names = sorted(group for group, has in held.items() if has == classes)
        order = np.random.default_rng([seed, 0x5B11, kind]).permutation(len(names))
        found.append([names[i] for i in order])
    return found


def _apportioned(count: int, shares: Sequence[float]) -> list[int]:
    """``count`` by largest remainders; nobody with a share goes without if there is enough for all."""
    exact = [count * share for share in shares]
    parts = [int(amount) for amount in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: parts[i] - exact[i])
    for i in by_remainder[: count - sum(parts)]:
        parts[i] += 1
    wanting = [i for i, share in enumerate(shares) if share > 0 and parts[i] == 0]
    if count >= sum(share > 0 for share in shares):
        for i in wanting:
            parts[parts.index(max(parts))] -= 1
            parts[i] = 1
    return parts
