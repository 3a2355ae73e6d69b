"""The area under the ROC curve: P(s+ > s-) + P(s+ = s-) / 2 of a positive and a negative example, and its errors.

``disjoint_pairs`` turns it into independent values for the exact gate: their mean *is* the AUROC. ``delong`` gives its
variance, also where examples come in groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import NonFiniteMeasurement, UsageProblem

__all__ = [
    "AurocDifference",
    "Pairs",
    "auroc",
    "auroc_difference",
    "delong",
    "delong_variance",
    "disjoint_pairs",
    "logit_delong_interval",
    "most_pairs",
    "pair_up",
]

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


def auroc(scores: ArrayLike, labels: ArrayLike) -> Any:
    """The AUROC of scores (..., n) for labels 0 and 1 of shape (n,) or (..., n), by midranks; ties count a half.

    A float for one row of scores, else float64 of shape (...). Raises UsageProblem unless both classes are there,
    NonFiniteMeasurement for scores that are not finite.
    """
    from scipy.stats import rankdata

    s = _finite(scores)
    y = np.broadcast_to(np.asarray(labels, dtype=np.float64), s.shape)
    positives = y.sum(-1)
    negatives = y.shape[-1] - positives
    if not (np.all(positives > 0) and np.all(negatives > 0)):
        raise UsageProblem("an AUROC needs positive and negative examples; one of the classes is missing")
    ranks = (rankdata(s, axis=-1) * y).sum(-1)
    areas = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
    return float(areas) if areas.ndim == 0 else areas


def delong(scores: ArrayLike, labels: ArrayLike, groups: Sequence[str] | None = None) -> tuple[Floats, Floats]:
    """AUROCs (k,) of k ways of scoring the same examples, scores (k, n), and their joint covariance (k, k).

    Without ``groups`` examples are independent (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837); with them
    groups are, and examples within a group may be as alike as they like (Obuchowski 1997, Biometrics 53:567). Raises
    UsageProblem for fewer than two groups (examples) of a class.
    """
    s = np.atleast_2d(_finite(scores))
    y = np.asarray(labels, dtype=np.int64)
    areas = np.atleast_1d(auroc(s, y))
    of_positive, of_negative = _placements(s, y)
    units = np.arange(y.size) if groups is None else np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    count = int(units.max()) + 1
    # per unit: what its examples lie above the mean, summed
    above = _summed(of_positive - areas[:, None], units[positive], count)
    below = _summed(of_negative - areas[:, None], units[negative], count)
    with_positive, with_negative = len(set(units[positive].tolist())), len(set(units[negative].tolist()))
    if min(with_positive, with_negative) < 2:
        raise UsageProblem(
            f"{with_positive} independent units with positive and {with_negative} with negative examples; "
            "a variance needs two of each"
        )
    m, n = positive.size, negative.size
    covariance = with_positive / (with_positive - 1) * (above @ above.T) / m**2
    covariance += with_negative / (with_negative - 1) * (below @ below.T) / n**2
    mixed = above @ below.T
    covariance += count / (count - 1) * (mixed + mixed.T) / (m * n)
    return areas, covariance


def delong_variance(scores: ArrayLike, labels: ArrayLike, groups: Sequence[str] | None = None) -> float:
    """The variance of the AUROC of scores (n,); see ``delong``."""
    return max(0.0, float(delong(scores, labels, groups)[1][0, 0]))


@dataclass(frozen=True)
class AurocDifference:
    """By how much one way of scoring beats another on the same examples, with one-sided bounds at a level each."""

    difference: float
    low: float
    high: float
    error: float
    areas: tuple[float, float]
    n: int
    """groups"""


def auroc_difference(
    scores: ArrayLike, other: ArrayLike, labels: ArrayLike, groups: Sequence[str], *, level: float = 0.01
) -> AurocDifference:
    """AUROC(scores) - AUROC(other) with DeLong's joint variance over groups: approximate.

    Where the two rank nearly every pair alike that variance says nothing of pairs that were not seen; it is taken to be
    at least that of one group in which one of the two is at chance.
    """
    from scipy.stats import norm

    if not 0.0 < level < 0.5:
        raise UsageProblem(f"level={level} must lie above 0 and below 0.5; 0.01 is usual")
    areas, covariance = delong([np.asarray(scores), np.asarray(other)], labels, groups)
    count = len(set(groups))
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    error = sqrt(max(variance, 0.25 / count**2))
    difference, reach = float(areas[0] - areas[1]), float(norm.ppf(1.0 - level)) * error
    low, high = max(-1.0, difference - reach), min(1.0, difference + reach)
    return AurocDifference(difference, low, high, error, (float(areas[0]), float(areas[1])), count)


def logit_delong_interval(
    scores: ArrayLike, labels: ArrayLike, groups: Sequence[str] | None = None, *, level: float = 0.05
) -> tuple[float, float]:
    """The two-sided interval for the AUROC of scores (n,) that misses it with probability ``level``, approximately.

    A normal interval on the logit scale, with DeLong's variance (on the plain scale its one-sided error near 1 is ten
    times nominal, on the logit scale .6 to 1.3 times; simulated for METHODS 3). Where no pair is lost, or none won,
    the open end is exact: all of P disjoint pairs are won with probability AUROC**P. For reports: the gate decides.
    """
    from scipy.stats import norm

    if not 0.0 < level < 1.0:
        raise UsageProblem(f"level={level} must lie between 0 and 1; 0.05 gives the 95 % interval")
    area = float(auroc(scores, labels))
    units = [str(i) for i in range(np.asarray(labels).size)] if groups is None else list(groups)
    if area in (0.0, 1.0):
        end = (level / 2) ** (1.0 / most_pairs(labels, units))
        return (end, 1.0) if area == 1.0 else (0.0, 1.0 - end)
    centre = log(area / (1.0 - area))
    error = sqrt(delong_variance(scores, labels, groups)) / (area * (1.0 - area))
    reach = float(norm.ppf(1.0 - level / 2)) * error
    return _logistic(centre - reach), _logistic(centre + reach)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a positive and a negative example from different groups, no group in two of them, in random order.

    Attributes:
        ids: "positive's group > negative's group".
        positive, negative: places of the examples, int64.
    """

    ids: tuple[str, ...]
    positive: Places
    negative: Places

    def __len__(self) -> int:
        return len(self.ids)

    def wins(self, scores: ArrayLike) -> Floats:
        """1 where the positive example of a pair has the higher score, 0 where it has the lower one, 1/2 for ties."""
        s = _finite(scores)
        return (np.sign(s[self.positive] - s[self.negative]) + 1.0) / 2.0


def pair_up(labels: ArrayLike, groups: Sequence[str], seed: int = 0) -> Pairs:
    """As many disjoint pairs as the groups allow; a group with both classes gives one example of a random class.

    Pairs depend on labels, groups and seed, not on scores: several ways of scoring are compared on the same pairs. If
    groups are independent, so are the pairs' wins, and with groups of one size their mean is the AUROC of examples
    from different groups.
    """
    y = np.asarray(labels, dtype=np.int64)
    held: dict[str, tuple[list[int], list[int]]] = {}
    for place, (group, label) in enumerate(zip(groups, y.tolist(), strict=True)):
        held.setdefault(str(group), ([], []))[label].append(place)
    rng = np.random.default_rng([seed, 0xA0C])
    names = sorted(held)
    names = [names[i] for i in rng.permutation(len(names))]
    lower = [name for name in names if not held[name][1]]
    upper = [name for name in names if not held[name][0]]
    both = [name for name in names if held[name][0] and held[name][1]]
    to_upper = min(len(both), max(0, (len(lower) + len(both) - len(upper) + 1) // 2))
    upper, lower = upper + both[:to_upper], lower + both[to_upper:]
    upper = [upper[i] for i in rng.permutation(len(upper))]
    lower = [lower[i] for i in rng.permutation(len(lower))]
    chosen = list(zip(upper, lower, strict=False))
    return Pairs(
        tuple(f"{above} > {below}" for above, below in chosen),
        np.array([rng.choice(held[above][1]) for above, _ in chosen], dtype=np.int64),
        np.array([rng.choice(held[below][0]) for _, below in chosen], dtype=np.int64),
    )


def disjoint_pairs(
    scores: ArrayLike, labels: ArrayLike, groups: Sequence[str], seed: int = 0
) -> tuple[tuple[str, ...], Floats]:
    """(ids, values in {0, 1/2, 1}) of the pairs that ``pair_up`` makes: independent, with the AUROC as their mean."""
    pairs = pair_up(labels, groups, seed)
    return pairs.ids, pairs.wins(scores)


def most_pairs(labels: ArrayLike, groups: Sequence[str]) -> int:
    """How many disjoint pairs ``pair_up`` makes."""
    classes: dict[str, set[int]] = {}
    for group, label in zip(groups, np.asarray(labels).tolist(), strict=True):
        classes.setdefault(str(group), set()).add(int(label))
    lower, upper = (sum(held == {mark} for held in classes.values()) for mark in (0, 1))
    both = len(classes) - lower - upper
    return min(len(classes) // 2, lower + both, upper + both)


def _finite(scores: ArrayLike) -> Floats:
    s = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(s).all():
        place = np.argwhere(~np.isfinite(s))[0].tolist()
        raise NonFiniteMeasurement(f"score {place} is {s[tuple(place)]}; scores that are not finite have no order")
    return s


def _placements(s: Floats, y: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """(k, positives): the share of negatives below each positive; (k, negatives): that of positives above it."""
    from scipy.stats import rankdata

    upper, lower = s[:, y == 1], s[:, y == 0]
    overall = rankdata(s, axis=-1)
    of_positive = (overall[:, y == 1] - rankdata(upper, axis=-1)) / lower.shape[1]
    of_negative = 1.0 - (overall[:, y == 0] - rankdata(lower, axis=-1)) / upper.shape[1]
    return of_positive, of_negative


def _summed(values: Floats, units: NDArray[np.intp] | Places, count: int) -> Floats:
    """(k, count): each row's values added up by unit."""
    sums = np.zeros((count, values.shape[0]))
    np.add.at(sums, units, values.T)
    return sums.T


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + exp(-x)) if x >= 0 else exp(x) / (1.0 + exp(x))
