"""The difference of means: anything fancier must not lose to it (METHODS: C4)."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from ..errors import UsageProblem
from ..stats import ControlResult, Outcome
from ..stats.auroc import auroc_difference

__all__ = ["DELTA", "not_worse_than_diff_of_means"]

DELTA = 0.02
"""by how much the AUROC may be lower"""


def not_worse_than_diff_of_means(
    scores: ArrayLike,
    baseline: ArrayLike,
    labels: ArrayLike,
    groups: Sequence[str],
    *,
    level: float,
    fail_level: float | None = None,
    delta: float = DELTA,
    name: str = "diff_of_means",
) -> ControlResult:
    """PASS if AUROC(scores) - AUROC(baseline) is above -delta, FAIL if it is below, each with error ``level``
    (FAIL with ``fail_level``, if that is another).

    Both on the same examples, with DeLong's joint variance over groups: approximate.
    """
    if isinstance(delta, bool) or not isinstance(delta, (int, float)) or not 0.0 < delta < 1.0:
        raise UsageProblem(f"delta={delta!r} must lie between 0 and 1: by how much the AUROC may be lower")
    found = auroc_difference(scores, baseline, labels, groups, level=level)
    high = found.high
    if fail_level is not None:
        high = auroc_difference(scores, baseline, labels, groups, level=fail_level).high
    outcome = Outcome.PASS if found.low > -delta else Outcome.FAIL if high < -delta else Outcome.INCONCLUSIVE
    return ControlResult(
        name=name,
        outcome=outcome,
        estimate=found.difference,
        interval=(found.low, high),
        threshold=-delta,
        n=found.n,
        approximate=True,
        note=f"AUROC {found.areas[0]:.3f} - {found.areas[1]:.3f} of the difference of means, on the same groups",
        details={"auroc": found.areas[0], "diff_of_means": found.areas[1], "standard_error": found.error},
    )
