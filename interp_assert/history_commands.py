"""``interp-assert track`` and ``interp-assert history``."""

from __future__ import annotations

import argparse
import os
from typing import Any

__all__ = ["add_history", "add_track"]

VARIABLE = "INTERP_HISTORY"


def add_track(subparsers: Any) -> Any:
    """``interp-assert track ID [ID ..]``: measure claims and append them to the history; decides no exit status."""
    command = subparsers.add_parser("track", help="measure models and append what is found to the history")
    command.add_argument(
        "ids",
        nargs="+",
        metavar="ID",
        help="zoo:NAME[@all], a directory or a folder of checkpoints, or org/name[@revision]",
    )
    command.add_argument(
        "--check", action="append", metavar="NAME", help="this claim; can be repeated (default: two quick ones)"
    )
    command.add_argument(
        "--budget", default="standard", help="clusters of each claim, all of them: quick, standard or thorough"
    )
    command.add_argument("--seed", type=int, default=0, help="of prompts and twins (default: 0)")
    _add_url(command)
    command.set_defaults(func=track_models)
    return command


def add_history(subparsers: Any) -> None:
    """``interp-assert history [MODEL]``: each claim about a model over its checkpoints and commits."""
    command = subparsers.add_parser("history", help="show how claims about a model changed")
    command.add_argument(
        "model", nargs="?", metavar="MODEL", help="its name in the history, or that of a training (default: list them)"
    )
    command.add_argument("--check", metavar="NAME", help="this claim only")
    _add_url(command)
    command.set_defaults(func=show_history)


def track_models(args: argparse.Namespace) -> int:
    """One line for each verdict as it is reached, and what became of it."""
    from interp_assert.assertions.catalogue import QUICK_CLAIMS
    from interp_assert.assertions.text import number, safe_line
    from interp_assert.records.history import open_history
    from interp_assert.tracking import track

    history = open_history(args.history)
    loading = {"device": args.device, "dtype": args.dtype, "trust_remote_code": args.trust_remote_code}
    new = known = 0
    for results, appended in track(
        args.ids, history, claims=args.check or QUICK_CLAIMS, budget=args.budget, seed=args.seed, **loading
    ):
        for check in results.checks:
            reason = "" if check["verdict"] == "PASS" else f"; {' '.join(check['reason'].split())}"
            print(
                safe_line(
                    f"{check['verdict']} {check['check']} on {check['model']}: {number(check['estimate'])}{reason}"
                ),
                flush=True,
            )
        new, known = new + appended.new, known + appended.known
    print(safe_line(f"{new} new and {known} known verdicts in {history.path}"))
    return 0


def show_history(args: argparse.Namespace) -> int:
    """The models of the history, or the claims about one of them."""
    from interp_assert.assertions.text import safe_line
    from interp_assert.records.history import known_models, open_history, read_claims
    from interp_assert.reports.history import history_lines

    history = open_history(args.history)
    if args.model is None:
        for name, runs in known_models(history).items():
            print(safe_line(f"{name}: {runs} run{'' if runs == 1 else 's'}"))
        return 0
    for place, claim in enumerate(read_claims(history, args.model, args.check)):
        for line in ("", *history_lines(claim)) if place else history_lines(claim):
            print(safe_line(line))
    return 0


def _add_url(command: Any) -> None:
    from interp_assert.records.history.database import DEFAULT

    default = os.environ.get(VARIABLE) or DEFAULT
    command.add_argument(
        "--history",
        metavar="URL",
        default=default,
        help=f"a path or sqlite:///path (default: ${VARIABLE}, else {DEFAULT})",
    )
