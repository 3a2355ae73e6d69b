"""What a verdict on a probe tells besides the decision: the AUROC by layer with intervals, parts and penalties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..measures.probes import ProbeScores
from ..models.sites import block_of
from ..stats import logit_delong_interval
from .probe_task import ProbeTask, named_layer

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["LEVEL", "more_groups", "probe_details"]

LEVEL = 0.05
"""of the intervals that are reported: 95 %"""


def probe_details(
    model: Model, task: ProbeTask, scores: ProbeScores, words: ProbeScores | None = None
) -> dict[str, Any]:
    """AUROC on the whole test part, with logit-DeLong intervals over groups, at the chosen site and at all others.

    The AUROC on the select part is what the site was chosen by; those on the test part of other sites were not looked
    at before the decision. With ``words`` (``controls.fit_words``) also what texts show without the model.
    """
    labels, test = task.rows.labels[task.split.test], task.split.test
    rows = []
    for number, site in enumerate(scores.sites):
        low, high = logit_delong_interval(scores.scores[number, test], labels, task.test_groups, level=LEVEL)
        block = block_of(site)
        row: dict[str, Any] = {"block": site if block is None or len(task.sites) == 1 else block + 1}
        row |= {"select": float(scores.select[number]), "test": float(scores.test[number]), "low": low, "high": high}
        rows.append(row | {"chosen": "*" if number == scores.best else ""})
    chosen = rows[scores.best]
    counts = task.details()
    n_blocks = int(model.anatomy.n_blocks)
    shown = {} if words is None else dict(zip(words.sites, words.test.tolist(), strict=True))
    held = "" if words is None else f"; held against the probe: {words.sites[words.best]}"
    return {
        **counts,
        "site": scores.sites[scores.best],
        "probe": scores.kind,
        "auroc": chosen["test"],
        "auroc_interval": [chosen["low"], chosen["high"]],
        "by_block": rows,
        **({"by_words": shown} if shown else {}),
        "profile": {
            "AUROC": f"{chosen['test']:.3f} [{chosen['low']:.3f}, {chosen['high']:.3f}] on the whole test part "
            f"(95 % logit-DeLong over groups), {named_layer(scores.sites[scores.best], n_blocks)}",
            "parts": ", ".join(
                f"{part} {n} texts of {counts['groups'][part]} groups" for part, n in counts["texts"].items()
            )
            + f"; {counts['pairs']} disjoint pairs",
            **({"no model": ", ".join(f"{what} {area:.3f}" for what, area in shown.items()) + held} if shown else {}),
            "data": counts["data_note"],
        },
    }


def more_groups(task: ProbeTask, allowed: int | None) -> str:
    """How to come by more clusters: ``allowed`` is the number of groups that the budget allows, if it has a say."""
    tested, groups = len(set(task.test_groups)), task.rows.n_groups
    remedy = "raise the budget" if allowed is not None and groups >= allowed else "give data of more groups"
    return f"a cluster is two groups of the test part, which has {tested} of {groups}: {remedy}"
