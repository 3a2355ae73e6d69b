"""What changed against the baselines, by how much and how surely: a table, and a line for whatever was not compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..records import Results

__all__ = ["baselines_table", "not_compared", "weights_in_short", "weights_lines"]

_WORDS = {"new": "new", "updated": "updated", "missing": "no baseline", "stale": "stale", "lost": "LOST"}
_ORDER = ("FAIL", "INCONCLUSIVE", None, "PASS")


def baselines_table(results: Results) -> str:
    """One row per check of each model that has a baseline, worst first; empty without any.

    ``change`` is now - before with its interval, ``limit`` the change that is tolerated.
    """
    if not results.baselines:
        return ""
    from tabulate import tabulate

    labels = list(dict.fromkeys(entry["model"] for entry in results.baselines))
    rows = [
        {
            "model": entry["model"],
            "check": entry["key"],
            "baseline": _number(entry["before"]),
            "now": _number(entry["now"]),
            "change": _change(entry),
            "limit": "-" if entry["limit"] is None else f"{entry['limit']:+.3g}",
            "n": str(entry["n"]) if entry["n"] else "-",
            "verdict": entry["verdict"] or _WORDS.get(entry["status"], "not compared"),
        }
        for entry in sorted(
            results.baselines,
            key=lambda entry: (labels.index(entry["model"]), _ORDER.index(entry["verdict"]), entry["key"]),
        )
    ]
    aligned = ["left", "left", "right", "right", "left", "right", "right", "left"]
    return tabulate(rows, headers="keys", tablefmt="simple", colalign=aligned, disable_numparse=True)


def weights_lines(results: Results) -> list[str]:
    """For each model, whether its weights are those of its baseline."""
    lines = []
    for label in dict.fromkeys(entry["model"] for entry in results.baselines):
        pairs = [entry["weights"] for entry in results.baselines if entry["model"] == label]
        known = list(dict.fromkeys(weights_in_short(pair["before"]) for pair in pairs if pair["before"] is not None))
        now = weights_in_short(pairs[0]["now"])
        if known == [now]:
            lines.append(f"{label} has the weights of its baseline, {now}")
        elif known:
            lines.append(f"{label} has other weights than its baseline: {now}, before {', '.join(known)}")
    return lines


def not_compared(results: Results) -> list[str]:
    """One line for each check that failed against its baseline or could not be compared, with the reason; and one for
    each model whose baseline has checks that this run did not measure.
    """
    left = [
        f"not measured on {label}, so not compared: {', '.join(keys)}"
        for label, keys in results.run.get("not_measured", {}).items()
    ]
    told = [
        f"{entry['verdict'] or _WORDS.get(entry['status'], 'not compared')} {entry['key']} on {entry['model']}: "
        f"{entry['reason']}"
        for entry in results.baselines
        if entry["reason"] and entry["verdict"] != "PASS"
    ]
    return told + left


def _change(entry: Mapping[str, Any]) -> str:
    if entry["change"] is None:
        return "-"
    shown = f"{entry['change']:+.3f}"
    if entry["interval"] is not None:
        low, high = entry["interval"]
        shown += f" [{_end(low, '-')}, {_end(high, '+')}]{' (approximate)' if entry['approximate'] else ''}"
    return shown


def _end(end: float | None, sign: str) -> str:
    return f"{sign}inf" if end is None else f"{end:+.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def weights_in_short(weights: Mapping[str, Any]) -> str:
    """``b398725cfb7e float32``, with the revision if there is one."""
    revision = "" if weights["revision"] is None else f" ({weights['revision'][:12]})"
    return f"{weights['sha256'][:12]}{revision} {weights['dtype']}"
