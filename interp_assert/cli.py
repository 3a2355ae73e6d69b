"""The ``interp-assert`` command: ``anatomy``, ``profile``, ``gate``, ``track``, ``history``, ``results``, and what the
entry-point group ``interp_assert.commands`` brings.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import time
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

from interp_assert import __version__
from interp_assert.errors import InterpError, UsageProblem
from interp_assert.gate_commands import add_gate
from interp_assert.history_commands import add_history, add_track
from interp_assert.results_commands import add_results

GROUP = "interp_assert.commands"


def parser() -> argparse.ArgumentParser:
    """The command line with every registered sub-command; each sets ``func(args) -> int``."""
    made = argparse.ArgumentParser(prog="interp-assert", description="Test what is inside a language model.")
    made.add_argument("--version", action="version", version=f"interp-assert {__version__}")
    subparsers = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_anatomy(subparsers)
    add_profile(subparsers)
    _add_loading(add_track(subparsers))
    add_history(subparsers)
    add_results(subparsers)
    add_gate(subparsers)
    for entry_point in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        entry_point.load()(subparsers)
    return made


def add_anatomy(subparsers: Any) -> None:
    """``interp-assert anatomy ID``: what was found inside a model, what was proven, what is missing and why."""
    command = subparsers.add_parser("anatomy", help="show the structure of a model and what was proven of it")
    command.add_argument("id", help="zoo:NAME, a directory, or org/name[@revision]")
    _add_loading(command)
    command.set_defaults(func=show_anatomy)


def _add_loading(command: Any) -> None:
    command.add_argument("--device", help="cpu, cuda, cuda:1 or auto (default: a GPU if there is one)")
    command.add_argument("--dtype", help="float32, bfloat16 or float16")
    command.add_argument("--trust-remote-code", action="store_true", help="run code that is shipped with the model")


def show_anatomy(args: argparse.Namespace) -> int:
    """Prove every kind of site, not only those that are proven when a model is opened, and print the report."""
    from interp_assert.models import load

    model = load(args.id, device=args.device, dtype=args.dtype, trust_remote_code=args.trust_remote_code)
    for site in model.anatomy.sites:
        model.has(site)
    print(model.anatomy.report())
    return 0


def add_profile(subparsers: Any) -> None:
    """``interp-assert profile ID [ID ..]``: one row per model over all measurements; decides nothing."""
    command = subparsers.add_parser("profile", help="measure models and show one row of figures for each")
    command.add_argument("ids", nargs="+", metavar="ID", help="zoo:NAME, zoo:all, a directory, or org/name[@revision]")
    command.add_argument("--budget", default="standard", help="clusters of each figure: quick, standard or thorough")
    command.add_argument("--seed", type=int, default=0, help="of the prompts (default: 0)")
    command.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="this measurement only; can be repeated (an unknown one names all)",
    )
    command.add_argument("--base", metavar="ID", help="the model that drift is measured against")
    command.add_argument("--markdown", metavar="FILE", help="write the table to this file, too")
    command.add_argument("--json", metavar="FILE", help="write every figure with its details to this file")
    _add_loading(command)
    command.set_defaults(func=show_profile)


def show_profile(args: argparse.Namespace) -> int:
    """Print the table; 1 if a figure is not finite or a model cannot be opened. Models are opened one after the
    other.
    """
    from interp_assert.assertions.progress import reporting
    from interp_assert.profile_run import profile_run
    from interp_assert.records import write_results
    from interp_assert.reports import figures_markdown, figures_text

    for path in filter(None, (args.markdown, args.json)):  # before anything is measured
        if not os.path.isdir(os.path.dirname(path) or "."):
            raise UsageProblem(f"{path}: there is no folder {os.path.dirname(path)}")
    with reporting(_Waiting()):
        results = profile_run(
            args.ids,
            budget=args.budget,
            seed=args.seed,
            only=args.only,
            base=args.base,
            device=args.device,
            dtype=args.dtype,
            trust_remote_code=args.trust_remote_code,
        )
    for line in figures_text(results, shutil.get_terminal_size(fallback=(120, 24)).columns):
        print(line)
    if args.markdown:
        with open(args.markdown, "w", encoding="utf-8") as stream:
            stream.write(figures_markdown(results))
    if args.json:
        write_results(results, args.json)
    changed = [model["changed"] for model in results.models if model["changed"]]
    for what in changed:
        print(f"interp-assert: {what}", file=sys.stderr)
    broken = any(figure["broken"] for profile in results.profiles for figure in profile["figures"])
    return int(broken or bool(changed))


class _Waiting:
    """Tells a terminal what is being measured, after every 5 seconds of silence."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, check: str, model: str, done: int, at_most: int) -> None:
        if sys.stderr.isatty() and time.monotonic() - self.last >= 5.0:
            print(f"interp-assert: {check} on {model}", file=sys.stderr)
            self.last = time.monotonic()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit status; 2, and one line on stderr, for what cannot be carried out."""
    args = parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal of another alphabet shows escapes
    try:
        status = int(args.func(args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _stop_writing()  # whoever read has seen enough, as in "| head"
        return 1
    except OSError as error:
        where = error.filename
        if where is None:
            _stop_writing()
            where = "standard output"
        print(f"interp-assert: {where}: {error.strerror or error}", file=sys.stderr)
        return 2
    except InterpError as error:
        print(f"interp-assert: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interp-assert: interrupted", file=sys.stderr)
        return 130


def _stop_writing() -> None:
    """Python writes what is left in its buffer when it ends, and would complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
