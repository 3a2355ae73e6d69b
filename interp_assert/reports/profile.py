"""Profiles for people: one row per model, one column per figure, in the terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from .table import count

if TYPE_CHECKING:
    from ..records import Results

__all__ = ["blanks", "figures_markdown", "figures_table", "figures_text", "legend"]

_GAP = "  "
"""between two columns of a table, and before the rest of a line"""


def figures_text(results: Results, width: int | None = None) -> list[str]:
    """The lines of a terminal of ``width`` columns (None: as wide as it takes): the table, how to read it, and why
    there are blanks. Empty without profiles.
    """
    if not results.profiles:
        return []
    lines = figures_table(results, width).splitlines()
    for part in (legend(results), blanks(results)):
        lines += ["", *(piece for line in part for piece in _folded(line, width))] if part else []
    return lines


def figures_table(results: Results, width: int | None = None) -> str:
    """For the terminal: value, interval and note of a figure below each other. Empty without profiles. Columns for
    which ``width`` does not suffice stand in a further table below, which begins with the models again.

    ``~`` stands before an interval that rests on a normal approximation, "all 64" in the place of one where a list was
    measured whole, so that there is nothing left to guess; "n/a" where the model has no use for a measurement, "broken"
    where it gave numbers that are not finite, "-" where it was not asked for.
    """
    if not results.profiles:
        return ""
    from tabulate import tabulate

    header, rows = _rows(results, "\n")
    aligned = ["left", "left", "right", *["left"] * (len(header) - 5), "right", "right"]
    tables = []
    for columns in _fitting(header, rows, width):
        shown = [[row[column] for column in columns] for row in rows]
        heads, sides = [header[column] for column in columns], [aligned[column] for column in columns]
        tables.append(tabulate(shown, headers=heads, tablefmt="simple", colalign=sides, disable_numparse=True))
    return "\n\n".join(tables)


def _fitting(header: list[str], rows: list[list[str]], width: int | None) -> list[list[int]]:
    """Which columns stand in which table: the first in all, then as many as fit, one at least. (tabulate leaves two
    blanks behind a heading.)
    """
    widths = [
        max(len(line) for text in (header[column] + _GAP, *(row[column] for row in rows)) for line in text.split("\n"))
        for column in range(len(header))
    ]
    if width is None:
        return [list(range(len(header)))]
    tables: list[list[int]] = []
    for column in range(1, len(header)):
        if not tables or sum(widths[c] + len(_GAP) for c in tables[-1]) + widths[column] > width:
            tables.append([0])
        tables[-1].append(column)
    return tables


def _folded(line: str, width: int | None) -> list[str]:
    """A line broken at blanks, continued with an indent; words that are longer stay whole."""
    return (
        [line]
        if width is None
        else wrap(line, width, subsequent_indent=_GAP, break_long_words=False, break_on_hyphens=False)
    )


def figures_markdown(results: Results) -> str:
    """A document: the same table, how it was measured, and why there are blanks. Empty without profiles."""
    if not results.profiles:
        return ""
    header, rows = _rows(results, " ")
    lines = ["# Profile", "", _line(header), _line(["---"] * len(header)), *(_line(row) for row in rows), ""]
    lines += [f"- {_escaped(line)}" for line in legend(results)]
    if reasons := blanks(results):
        lines += ["", *(f"- {_escaped(reason)}" for reason in reasons)]
    versions = ", ".join(f"{name} {version}" for name, version in results.run["versions"].items() if version)
    return "\n".join([*lines, "", f"Measured {results.run['started']} with {_escaped(versions)}.", ""])


def legend(results: Results) -> list[str]:
    """How to read the table: a line for each column, and what stands below a number. Empty without profiles."""
    if not results.profiles:
        return []
    known: dict[tuple[str, str], str] = {}
    for profile in results.profiles:
        for figure in profile["figures"]:
            known[_column(figure)] = known.get(_column(figure)) or " ".join(figure.get("about", "").split())
    lines = [f"{quantity}: {about}" for (_, quantity), about in known.items() if about]
    first = results.profiles[0]
    bases = sorted({profile["base"] for profile in results.profiles if profile.get("base")})
    lines += [f"the base is {', '.join(bases)}"] if bases else []
    return [
        *lines,
        f"at most {first['clusters']} clusters for each figure, seed {first['seed']}; [low, high] holds with "
        f"probability {first['level']:g}, ~ approximately; all 64: a list of 64, measured whole",
    ]


def blanks(results: Results) -> list[str]:
    """What is missing of which model, and why: a line for each reason, with all the figures and models that it holds
    for.
    """
    missing: dict[tuple[str, str, str], list[str]] = {}
    for profile in results.profiles:
        for figure in profile["figures"]:
            if figure["value"] is None:
                kind = "broken" if figure["broken"] else "n/a"
                key = profile["model"], kind, " ".join(figure["missing"].split())
                missing.setdefault(key, []).append(figure["quantity"])
    models: dict[tuple[str, str, str], list[str]] = {}
    for (model, kind, why), figures in missing.items():
        models.setdefault((kind, ", ".join(figures), why), []).append(model)
    return [f"{kind} {figures} on {', '.join(labels)}: {why}" for (kind, figures, why), labels in models.items()]


def _rows(results: Results, between: str) -> tuple[list[str], list[list[str]]]:
    columns = dict.fromkeys(_column(figure) for profile in results.profiles for figure in profile["figures"])
    known = {model["id"]: model for model in results.models}
    rows = []
    for profile in results.profiles:
        model = known.get(profile["model"], {})
        figures = {_column(figure): figure for figure in profile["figures"]}
        costs = profile["costs"].values()
        rows.append(
            [
                profile["model"],
                model.get("architecture", "-"),
                count(model.get("parameters")),
                *(_cell(figures[column], between) if column in figures else "-" for column in columns),
                f"{sum(cost['forward_passes'] for cost in costs):,}",
                f"{sum(cost['seconds'] for cost in costs):.1f}",
            ]
        )
    header = ["model", "architecture", "parameters", *(quantity for _, quantity in columns), "passes", "seconds"]
    return header, rows


def _column(figure: Mapping[str, Any]) -> tuple[str, str]:
    return figure["measure"], figure["quantity"]


def _cell(figure: Mapping[str, Any], between: str) -> str:
    if figure["value"] is None:
        return "broken" if figure["broken"] else "n/a"
    parts = [_number(figure["value"])]
    if figure["interval"] is not None:
        low, high = figure["interval"]
        shown = f"{'~' if figure['approximate'] else ''}[{_number(low)}, {_number(high)}]"
        parts.append(f"all {figure['n']}" if figure.get("whole") else shown)
    if figure["note"]:
        parts.append(figure["note"])
    return between.join(parts)


def _number(value: float | None) -> str:
    """Three decimals, or two digits where that says nothing; an end that is not finite stands as null in the file."""
    if value is None:
        return "?"
    return f"{value:.3f}" if value == 0 or 0.0005 <= abs(value) < 1000 else f"{value:.2g}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """A cell of Markdown: no bar, line end or tag of a name may break the table."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
