"""What was measured now against a baseline, in pairs: cluster by cluster, one check at a time, never averaged over
checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import Any

from ..stats import ErrorLevels, Outcome
from ..stats.not_worse import Change, not_worse, tolerated_loss
from ..stats.verdict import plain
from .baselines import Baseline, Stored, Weights, key_of, stored_of

__all__ = ["compared", "written"]

LEAST_SHARED = 0.5
"""of the clusters of either side, that draws from an endless supply must share"""

ROUNDING = 1e-4
"""of the range of a score, of its largest value without one: what the same weights may differ by between machines"""

_MAKE = "make one with --interp-baseline=new on a model that is good, and commit it"
_RENEW = "renew it with --interp-baseline=update on a model that is good"


def compared(
    record: Mapping[str, Any],
    baseline: Baseline | None,
    weights: Weights,
    *,
    strict: bool,
) -> dict[str, Any] | None:
    """An entry of ``baselines`` in the results document, or None for a check that has nothing to be compared and had
    nothing.

    ``record`` is a verdict as a dict, with ``nodeid`` and ``measurements``. ``strict``: what cannot be compared makes
    the run fail (in CI); a regression, or what can no longer be measured, always does.
    """
    key = key_of(record)
    now = stored_of(record)
    before = None if baseline is None else baseline.checks.get(key)
    if now is None and before is None:
        return None
    entry = _entry(record, key, now, before)
    entry["weights"] = {
        "before": None if baseline is None or before is None else baseline.weights_of(before).model_dump(),
        "now": weights.model_dump(),
    }
    if before is None:
        return entry | {"status": "missing", "fails": strict, "reason": f"it has no baseline; {_MAKE}"}
    assert baseline is not None
    if now is None:
        why = " ".join((record["reason"] or "no reason is known").split())
        reason = f"it can no longer be measured ({record['verdict']}: {why})"
        return entry | {"status": "lost", "fails": True, "reason": reason}
    if stale := _stale(before, now):
        return entry | {"status": "stale", "reason": f"{stale}; {_RENEW}"}
    pairs = _pairs(before, now)
    if isinstance(pairs, str):
        return entry | {"status": "incomparable", "fails": strict, "reason": pairs}
    same = baseline.weights_of(before).sha256 == weights.sha256 and _equal(pairs, before)
    change = _change(record, before, pairs, same)
    return entry | _told(change, before, same)


def written(record: Mapping[str, Any], baseline: Baseline | None, weights: Weights) -> dict[str, Any] | None:
    """The entry of a check that is about to be put into a baseline: what changes in it. None if there is nothing to be
    kept.
    """
    entry = compared(record, baseline, weights, strict=False)
    if entry is None or stored_of(record) is None:
        return None
    status = "new" if entry["status"] == "missing" else "updated"
    return entry | {"status": status, "verdict": None, "fails": False, "reason": ""}


def _entry(record: Mapping[str, Any], key: str, now: Stored | None, before: Stored | None) -> dict[str, Any]:
    known = now or before
    assert known is not None
    return {
        "model": record["model"],
        "check": record["check"],
        "key": key,
        "nodeid": record["nodeid"],
        "status": "compared",
        "verdict": None,
        "fails": False,
        "before": None if before is None else before.mean,
        "now": None if now is None else now.mean,
        "change": None if before is None or now is None else now.mean - before.mean,
        "interval": None,
        "limit": None,
        "n": 0,
        "unit": known.unit,
        "direction": known.direction,
        "approximate": False,
        "reason": "",
    }


def _stale(before: Stored, now: Stored) -> str:
    """Why the numbers of the two do not mean the same."""
    if (before.measurement, before.version) != (now.measurement, now.version):
        return (
            f"the baseline was measured by {before.measurement} version {before.version}, this run measured by "
            f"{now.measurement} version {now.version}"
        )
    differing = [name for name in ("unit", "direction", "bounds") if getattr(before, name) != getattr(now, name)]
    return "" if not differing else f"the baseline has another {' and '.join(differing)} than this measurement"


def _pairs(before: Stored, now: Stored) -> tuple[list[float], list[float]] | str:
    """Values of the same clusters, before and now; or why there are none."""
    if before.seed != now.seed:
        return f"the baseline is of seed {before.seed}, this run of seed {now.seed}: other clusters were drawn"
    if before.population is None and now.population is None:
        return _of_draws(before, now)
    return _of_lists(before, now)


def _of_draws(before: Stored, now: Stored) -> tuple[list[float], list[float]] | str:
    """A larger budget resumes the same clusters, so those of the smaller one are in both."""
    shared = [cluster for cluster in before.values if cluster in now.values]
    if not shared or len(shared) < LEAST_SHARED * min(len(before.values), len(now.values)):
        return f"only {len(shared)} of its {len(before.values)} clusters were measured again: other clusters were drawn"
    return [before.values[cluster] for cluster in shared], [now.values[cluster] for cluster in shared]


def _of_lists(before: Stored, now: Stored) -> tuple[list[float], list[float]] | str:
    """What the model has no value for any more (a fact that it does not answer) counts as the worst there is, so that
    nothing is won by losing it altogether.
    """
    gone = [cluster for cluster in before.values if cluster not in now.values]
    if gone and before.budget != now.budget:
        return (
            f"the baseline is of at most {before.budget} clusters, this run of {now.budget}: run with the same budget"
        )
    if len(gone) == len(before.values):
        return "none of its clusters were measured again: it is another list"
    low, high = before.bounds
    worst = low if before.direction == "higher" else high
    if gone and worst in (-inf, inf):
        return f"{len(gone)} of its {len(before.values)} clusters were not measured again: it is another list"
    return list(before.values.values()), [now.values.get(cluster, worst) for cluster in before.values]


def _change(record: Mapping[str, Any], before: Stored, pairs: tuple[list[float], list[float]], same: bool) -> Change:
    low, high = before.bounds
    levels = record["levels"]
    limit = tolerated_loss(low, high, sum(pairs[0]) / len(pairs[0]))
    found = not_worse(
        *pairs,
        lo=low,
        hi=high,
        direction=before.direction,
        limit=limit,
        levels=None if levels is None else ErrorLevels(levels["pass"], levels["fail"], levels["control"]),
        whole_list=before.population is not None and before.population <= len(before.values),
    )
    if not same:
        return found
    # What was measured is the very model: whatever it would do on other clusters, it did then.
    return Change(Outcome.PASS, found.before, found.now, (found.change, found.change), limit, found.n, False)


def _equal(pairs: tuple[list[float], list[float]], stored: Stored) -> bool:
    """Up to what another machine, or another number of threads, makes of the same weights by rounding."""
    low, high = stored.bounds
    scale = high - low if isfinite(high - low) else max(map(abs, pairs[0]))
    return all(abs(one - other) <= ROUNDING * scale for one, other in zip(*pairs, strict=True))


def _told(change: Change, before: Stored, same: bool) -> dict[str, Any]:
    limit = -change.limit if before.direction == "higher" else change.limit
    reason = "the same weights, the same values" if same else ""
    if change.outcome is Outcome.FAIL:
        reason = f"it is worse than its baseline by more than {change.limit:.3g}"
    elif change.outcome is Outcome.INCONCLUSIVE:
        reason = (
            f"{change.n} clusters do not tell whether it is worse than its baseline by {change.limit:.3g}; "
            "measure both with a larger budget"
        )
    return {
        "verdict": change.outcome.value,
        "fails": change.outcome is not Outcome.PASS,
        "before": change.before,
        "now": change.now,
        "change": change.change,
        "interval": plain(change.interval),
        "limit": limit,
        "n": change.n,
        "approximate": change.approximate,
        "reason": reason,
    }
