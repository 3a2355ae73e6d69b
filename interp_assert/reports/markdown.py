"""The report for reviewers, as Markdown: what the gates say and why, every verdict, what changed; within a number of
bytes, because GitHub drops a report that is too long as a whole.

Names, reasons and tokens come from outside. They stand in code, where they are neither markup nor mentions nor HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..gates import Release, decide_all
from ..records.steps import trainings
from .baselines import baselines_table, not_compared, weights_lines
from .gates import gate_headline, gate_story
from .printing import printable
from .profile import blanks, figures_table
from .steps import step_lines, step_table
from .table import not_passed, profile_table, traps

if TYPE_CHECKING:
    from ..records import Results

__all__ = ["BUDGET", "results_markdown"]

BUDGET = 60_000
"""bytes: what a comment on GitHub takes (65,536 characters), and far from what a step summary takes (1 MiB)"""

_WORST_FIRST = (Release.BLOCK, Release.INCOMPLETE, Release.RELEASE)
_ORDER = ("FAIL", "INCONCLUSIVE", "NOT_APPLICABLE", "PASS")


@dataclass(frozen=True)
class _Block:
    """Lines that are cut together: what opens and closes them is kept with whatever is left of them."""

    opening: tuple[str, ...]
    lines: tuple[str, ...]
    closing: tuple[str, ...] = ()


def results_markdown(results: Results, budget: int = BUDGET) -> str:
    """The document, the most important first, in at most ``budget`` bytes of UTF-8; what does not fit is left out from
    the end of each part, and it says so.

    Raises ValueError for a budget of less than 1,000 bytes.
    """
    if budget < 1000:
        raise ValueError(f"a report of {budget} bytes would say nothing; give it 1,000 at least")
    return _within(list(_blocks(results)), budget)


def _blocks(results: Results) -> Iterator[_Block]:
    verdicts = sorted(decide_all(results), key=lambda verdict: _WORST_FIRST.index(verdict.says))
    for verdict in verdicts:
        yield _Block((f"# {verdict.says}", ""), (_code(gate_headline(verdict)),), ("",))
    if not verdicts:
        yield _Block(("# interp-assert", ""), (_counts(results),), ("",))
    for note in results.run.get("notes", ()):
        yield _Block((), (_code(note),), ("",))
    for verdict in verdicts:
        yield _fenced(f"## Gate {_code(verdict.name)}", gate_story(verdict))
    yield _fenced("## Not shown to hold", [*not_passed(results), *traps(results)])
    yield _verdicts(results)
    for training in trainings(results):
        lines = [*step_table(training).splitlines(), "", *step_lines(training)]
        yield _fenced(f"## {_code(training.name)} over {len(training.steps)} steps", lines if training.claims else ())
    changed = [*baselines_table(results).splitlines(), *weights_lines(results), *not_compared(results)]
    yield _fenced("## Against the baselines", changed if results.baselines else ())
    yield _fenced("## What is inside", profile_table(results).splitlines())
    yield _fenced("## Profile", [*figures_table(results).splitlines(), *blanks(results)])
    yield _fenced("## How it was measured", list(_provenance(results)))


def _counts(results: Results) -> str:
    reached = [check["verdict"] for check in results.checks]
    told = ", ".join(f"{reached.count(verdict)} {verdict}" for verdict in _ORDER if verdict in reached)
    return told or "No claim was decided."


def _verdicts(results: Results) -> _Block:
    """A row for each verdict, the worst first."""
    rows = [
        _line(
            [
                _cell(check["model"]),
                _cell(check["check"]),
                check["verdict"],
                _number(check["estimate"]),
                _interval(check["interval"]),
                _number(check["threshold"]),
                str(check["n"]),
            ]
        )
        for check in sorted(results.checks, key=lambda check: _ORDER.index(check["verdict"]))
    ]
    header = ["model", "claim", "verdict", "estimate", "interval", "threshold", "n"]
    opening = ("## Verdicts", "", _line(header), _line(["---"] * len(header)))
    return _Block(opening, tuple(rows), ("",))


def _provenance(results: Results) -> Iterator[str]:
    run = results.run
    yield f"started {run['started']}, {run['seconds']:.0f} seconds, seed {run['seed']}, {run['platform']}"
    yield ", ".join(f"{name} {version}" for name, version in run["versions"].items() if version)
    if git := run.get("git"):
        yield f"commit {git['commit']}{' and changes on top of it' if git['changed'] else ''}"
    for model in results.models:
        yield f"{model['id']}: sha256 {model['sha256']}, {model['dtype']} on {model['device']}"


def _fenced(title: str, lines: Sequence[str]) -> _Block:
    """Text as it stands in a terminal; nothing in it can end the fence, for that takes a line of its own."""
    safe = [printable(part).replace("```", "'''") for line in lines for part in line.split("\n")]
    return _Block((title, "", "```text"), tuple(safe), ("```", ""))


def _within(blocks: Sequence[_Block], budget: int) -> str:
    told: list[str] = []
    size = left_out = 0
    end = "{} lines more are in the results file (`--interp-json`)."
    room = budget - len(end) - 12  # the number of lines, and its line end
    for block in blocks:
        kept, needed = 0, size + _size(block.opening) + _size(block.closing)
        for line in block.lines:
            needed += _size((line,))
            if needed > room:
                break
            kept += 1
        left_out += len(block.lines) - kept
        if kept:
            told += [*block.opening, *block.lines[:kept], *block.closing]
            size += _size((*block.opening, *block.lines[:kept], *block.closing))
    if left_out:
        told.append(end.format(left_out))
    return "\n".join(told) + "\n"


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode("utf-8", "backslashreplace")) + 1 for line in lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """One line of code."""
    shown = printable(" ".join(text.split())).replace("`", "'")
    return f"`{shown}`" if shown.strip() else ""


def _cell(text: str) -> str:
    """Code in a table, where a bar ends the cell, whatever stands around it; escaped by a backslash it does not, but
    after another backslash it would again."""
    return _code(text.replace("|", "\\x7c"))


def _interval(ends: Sequence[float | None] | None) -> str:
    return "" if ends is None else f"{_number(ends[0])} to {_number(ends[1])}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if value == 0 or 0.0005 <= abs(value) < 1000 else f"{value:.2g}"
