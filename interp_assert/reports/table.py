"""Tables for the terminal: the profile of each model, and the verdicts that are not PASS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..records import Results

__all__ = ["count", "not_passed", "profile_table", "remembered", "traps"]

_VERDICTS = {"PASS": "PASS", "FAIL": "FAIL", "INCONCLUSIVE": "INCONCLUSIVE", "NOT_APPLICABLE": "n/a"}


def profile_table(results: Results) -> str:
    """One row per model: architecture, parameters, induction accuracy and how many times chance it is, lens
    crossover, drift if any model was compared with a base, verdicts, cost.

    What a model was not measured for is shown as "-". A base that was only compared with has no row. Empty if no
    verdict was reached.
    """
    if not results.checks:
        return ""
    from tabulate import tabulate

    known = {model["id"]: model for model in results.models}
    checked = [check["model"] for check in results.checks]
    base = results.run.get("base")
    labels = [label for label in dict.fromkeys((*known, *checked)) if label in checked or label != base]
    drifted = any(check["check"].startswith("drift/") for check in results.checks)
    rows = []
    for label in labels:
        checks = [check for check in results.checks if check["model"] == label]
        model = known.get(label, {})
        rows.append(
            {
                "model": label,
                "architecture": model.get("architecture", "-"),
                "parameters": count(model.get("parameters")),
                "induction": _induction(checks),
                "lens crossover": _crossover(checks),
                **({"drift": _drift(checks)} if drifted else {}),
                "verdicts": _verdicts(checks),
                "passes": f"{sum(check['forward_passes'] for check in checks):,}",
                "seconds": f"{sum(check['seconds'] for check in checks):.1f}",
            }
        )
    aligned = ["left", "left", "right", "right", "right", *(["left"] if drifted else []), "left", "right", "right"]
    return tabulate(rows, headers="keys", tablefmt="simple", colalign=aligned, disable_numparse=True)


def not_passed(results: Results) -> list[str]:
    """One line for each verdict that is not PASS: verdict, check, model, layer, estimate against threshold, reason."""
    return [_line(check) for check in results.checks if check["verdict"] != "PASS"]


def traps(results: Results) -> list[str]:
    """One line for each known weakness of an implementation that a claim which passed had to avoid."""
    return [
        f"TRAP {check['check']} on {check['model']}: {trap}"
        for check in results.checks
        if check["verdict"] == "PASS"
        for trap in check["details"].get("traps", ())
    ]


def remembered(results: Results) -> list[str]:
    """How many claims were measured before, and what became of the others' measurements."""
    cache: Mapping[str, Any] = results.run.get("remembered", {})
    known, claims = cache.get("claims", 0), cache.get("of", 0)
    lines = []
    if known:
        rest = "the others were measured now" if known < claims else "models were opened for other tests"
        if not cache.get("opened"):
            rest = "no model was opened and no forward pass made"
        were = "claim was" if claims == 1 else "claims were"
        lines.append(
            f"{known} of {claims} {were} measured before by this machine, on these weights with these settings: {rest}"
        )
    if distrusted := cache.get("distrusted", 0):
        noun = "entry" if distrusted == 1 else "entries"
        lines.append(f"{distrusted} {noun} of the cache, damaged or not written by this machine, not used")
    return lines + [f"measurements are not kept for the next run: {problem}" for problem in cache.get("not_kept", ())]


def _line(check: Mapping[str, Any]) -> str:
    where = check["model"] if check.get("layer") is None else f"{check['model']} at {check['layer']}"
    numbers = ""
    if check["estimate"] is not None and check["threshold"] is not None:
        numbers = f": {check['estimate']:.4g} against {check['threshold']:.4g} (n = {check['n']})"
    reason = " ".join((check.get("reason") or "").split())
    return f"{check['verdict']} {check['check']} on {where}{numbers}{'; ' if reason else ''}{reason}"


def _verdicts(checks: Iterable[Mapping[str, Any]]) -> str:
    reached = [check["verdict"] for check in checks]
    return (
        ", ".join(f"{reached.count(verdict)} {word}" for verdict, word in _VERDICTS.items() if verdict in reached)
        or "-"
    )


def count(number: int | None) -> str:
    """3,412,992 -> 3.41 M."""
    if number is None:
        return "-"
    for unit, size in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def _induction(checks: Iterable[Mapping[str, Any]]) -> str:
    """The accuracy on the second copy, and the multiple of the in-context chance that it is: ``0.981 (19.6x)``."""
    details = _details(checks, "circuits/induction")
    accuracy, chance = details.get("accuracy"), details.get("chance")
    if accuracy is None:
        return "-"
    return f"{accuracy:.3f} ({accuracy / chance:.1f}x)" if chance else f"{accuracy:.3f}"


def _crossover(checks: Iterable[Mapping[str, Any]]) -> str:
    """The block by which half of the answers are on top for good, and the share that is by the block claimed: ``block 4
    of 6 (98%)``."""
    check = next((check for check in checks if check["check"] == "lens/crossover"), None)
    if check is None or "n_blocks" not in check["details"]:
        return "-"
    if check["estimate"] is None:
        return "n/a"
    block, n_blocks = check["details"].get("median_block"), check["details"]["n_blocks"]
    where = "never for half" if block is None else f"block {block} of {n_blocks}"
    return f"{where} ({check['estimate']:.0%})"


def _drift(checks: Iterable[Mapping[str, Any]]) -> str:
    """How far the output and the residual stream are from the base, and what flipped: ``TV 0.021, residual 0.13 at
    block 2; flipped circuits/induction``."""
    found = [check["details"] for check in checks if check["check"].startswith("drift/")]
    if not found:
        return "-"
    told = []
    output = next((details["output"] for details in found if "output" in details), None)
    rows: list[Any] = next((details["by_block"] for details in found if details.get("by_block")), [])
    moved = [(row["residual"], row["block"]) for row in rows if row.get("residual") is not None]
    if output == {"total_variation": 0.0, "kl": 0.0, "agreement": 1.0} and not any(size for size, _ in moved):
        return "none: not one bit differs"
    if output is not None:
        told.append(f"TV {output['total_variation']:.3f}")
    text = next((details["by_text"] for details in found if details.get("by_text")), None)
    if output is None and text is not None:
        told.append(f"{text['difference']:+.3f} nats per character")
    if moved:
        most, block = max(moved, key=lambda pair: pair[0])
        told.append(f"residual {most:.2f} at {block if block == 'embed' else f'block {block}'}")
    flipped: list[str] = next((details["flipped"] for details in found if details.get("flipped")), [])
    shown = ", ".join(told) or "n/a"
    return f"{shown}; flipped {', '.join(flipped)}" if flipped else shown


def _details(checks: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next((check["details"] for check in checks if check["check"] == name), {})
