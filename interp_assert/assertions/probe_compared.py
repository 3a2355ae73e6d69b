"""A probe beside what it is compared with, on the same disjoint pairs and on the same test part."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from ..controls import TwinScore
from ..measures.probes import VERSION
from ..stats import ControlResult, ErrorLevels, Measurement, Outcome
from ..stats.auroc import auroc, auroc_difference, delong_variance
from .probe_task import ProbeTask

__all__ = ["as_twin_score", "or_no_better", "won"]

Scores = NDArray[np.float64]


def won(task: ProbeTask, name: str, scores: Scores) -> Measurement:
    """Which disjoint pairs of the test part the scores (example,) put in the right order."""
    return Measurement(name, VERSION, task.pairs.ids, task.pairs.wins(scores), 0, 1, "share of pairs", "higher")


def as_twin_score(task: ProbeTask, scores: Scores) -> TwinScore:
    """The AUROC on the test part with its error over groups, on the scale on which twins are compared."""
    test, pairs = task.split.test, len(task.pairs)
    labels = task.rows.labels[test]
    error = sqrt(delong_variance(scores[test], labels, task.test_groups))
    return TwinScore.auroc(float(auroc(scores[test], labels)), error=error, positives=pairs, negatives=pairs)


def or_no_better(
    result: ControlResult, task: ProbeTask, own: Scores, baseline: Scores, *, margin: float, levels: ErrorLevels
) -> ControlResult:
    """FAIL, approximately, where the pairs leave it open but the whole test part says that the probe is no better.

    A gate on pairs needs hundreds of them to tell that two which are nearly always right do not differ.
    """
    if result.outcome is not Outcome.INCONCLUSIVE:
        return result
    test = task.split.test
    level = levels.control if levels.control_fail is None else levels.control_fail
    found = auroc_difference(own[test], baseline[test], task.rows.labels[test], task.test_groups, level=level)
    if found.high >= margin:
        return result
    return replace(
        result,
        outcome=Outcome.FAIL,
        estimate=found.difference,
        interval=(found.low, found.high),
        threshold=margin,
        n=found.n,
        approximate=True,
        note=f"AUROC {found.areas[0]:.3f} - {found.areas[1]:.3f}, on the whole test part (DeLong over groups)",
        details={**result.details, "is_claim": False},
    )
