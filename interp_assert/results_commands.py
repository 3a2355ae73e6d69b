"""``interp-assert results markdown | schema``: the report for reviewers from a results file, and the schema of such
files for other programs."""

from __future__ import annotations

import argparse
from typing import Any

from .errors import UsageProblem

__all__ = ["add_results"]


def add_results(subparsers: Any) -> None:
    """Register ``results`` with its sub-commands."""
    command = subparsers.add_parser(
        "results", help="make a report of a results file, or write the schema of such files"
    )
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    markdown = actions.add_parser("markdown", help="print the report for reviewers")
    markdown.add_argument("results", metavar="RESULTS", help="what --interp-json wrote")
    markdown.add_argument("--bytes", type=int, metavar="N", help="at most so many, in UTF-8 (default: 60000)")
    markdown.set_defaults(func=show_markdown)
    schema = actions.add_parser("schema", help="print the JSON Schema of results files")
    schema.set_defaults(func=show_schema)


def show_markdown(args: argparse.Namespace) -> int:
    """Print the same report that ``--interp-markdown`` writes."""
    from .records import read_results
    from .reports.markdown import BUDGET, results_markdown

    results = read_results(args.results)
    try:
        report = results_markdown(results, BUDGET if args.bytes is None else args.bytes)
    except ValueError as problem:
        raise UsageProblem(f"--bytes {args.bytes}: {problem}") from None
    print(report, end="")
    return 0


def show_schema(args: argparse.Namespace) -> int:
    """Print the published schema."""
    from .records.json_schema import published_schema

    print(published_schema(), end="")
    return 0
