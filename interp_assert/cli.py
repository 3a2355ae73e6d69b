"""The ``interp-assert`` command: its sub-commands come from the entry-point group ``interp_assert.commands``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from interp_assert import __version__
from interp_assert.errors import InterpError

GROUP = "interp_assert.commands"


def parser() -> argparse.ArgumentParser:
    """The command line with every registered sub-command; each sets ``func(args) -> int``."""
    made = argparse.ArgumentParser(prog="interp-assert", description="Test what is inside a language model.")
    made.add_argument("--version", action="version", version=f"interp-assert {__version__}")
    subparsers = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for entry_point in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        entry_point.load()(subparsers)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit status; 2, and one line on stderr, for what cannot be carried out."""
    args = parser().parse_args(argv)
    try:
        return int(args.func(args))
    except InterpError as error:
        print(f"interp-assert: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interp-assert: interrupted", file=sys.stderr)
        return 130
