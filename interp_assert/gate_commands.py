"""``interp-assert gate init | schema | report``: a first gate of measured models, the schema for editors, and what a
results file says of its gates."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from .errors import UsageProblem

__all__ = ["add_gate"]

SCHEMA_FILE = "interp-gate.schema.json"


def add_gate(subparsers: Any) -> None:
    """Register ``gate`` with its sub-commands."""
    command = subparsers.add_parser("gate", help="write a first release gate, its schema, or what a run said of one")
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_init(actions)
    schema = actions.add_parser("schema", help="write the JSON Schema by which editors complete gate files")
    schema.add_argument("file", nargs="?", default=SCHEMA_FILE, help=f"default: {SCHEMA_FILE}; - for standard output")
    schema.set_defaults(func=write_schema)
    report = actions.add_parser("report", help="what a results file (--interp-json) says of its gates")
    report.add_argument("results", metavar="RESULTS", help="the file")
    report.set_defaults(func=show_report)


def _add_init(actions: Any) -> None:
    init = actions.add_parser("init", help="measure models and write a gate that they clear with stated power")
    init.add_argument("ids", nargs="+", metavar="MODEL", help="zoo:NAME, a directory, NAME=DIRECTORY, or org/name")
    init.add_argument(
        "-o", "--output", default="release.interp.yaml", metavar="FILE", help="default: release.interp.yaml"
    )
    init.add_argument("--force", action="store_true", help="replace the file if it is there")
    init.add_argument("--power", type=float, default=0.95, help="of each floor (default: 0.95)")
    init.add_argument("--budget", default="standard", help="of profile and gate: quick, standard or thorough")
    init.add_argument("--seed", type=int, default=0, help="of the prompts (default: 0)")
    init.add_argument("--device", help="cpu, cuda, cuda:1 or auto (default: a GPU if there is one)")
    init.add_argument("--dtype", help="float32, bfloat16 or float16")
    init.add_argument("--trust-remote-code", action="store_true", help="run code that is shipped with the model")
    init.set_defaults(func=write_first_gate)


def write_first_gate(args: argparse.Namespace) -> int:
    """Profile the models, print and write the gate, and the schema beside it if it is not there."""
    from .gates.file_names import is_gate_file
    from .gates.starting import StartingModel, first_gate
    from .models.sources.ids import each_of
    from .profile_run import profile_run
    from .profiles.measures import shipped_measurements
    from .records.writing import write_in_one_piece
    from .stats import Budget

    output = Path(args.output)
    if not is_gate_file(output.name):
        raise UsageProblem(f"{output} would not be found: a gate file is called NAME.interp.yaml")
    _look_for(output, args.force)
    if not 0.5 <= args.power < 1.0:
        raise UsageProblem(f"--power {args.power:g} must be at least 0.5 and below 1")
    if not output.parent.is_dir():
        raise UsageProblem(f"there is no folder {output.parent}")
    budget = Budget.named(args.budget)
    loading = {"device": args.device, "dtype": args.dtype, "trust_remote_code": args.trust_remote_code}
    ids = list(dict.fromkeys(each for some in args.ids for each in each_of(some)))
    written = [_as_written(id, output.parent) for id in ids]
    results = profile_run(ids, budget=args.budget, seed=args.seed, only=shipped_measurements(), **loading)
    models = [StartingModel(*each, profile) for each, profile in zip(written, results.profiles, strict=True)]
    text = first_gate(models, budget=budget, power=args.power, schema=SCHEMA_FILE)
    _look_for(output, args.force)  # measuring may have taken an hour
    write_in_one_piece(output, text)
    if not (schema := output.parent / SCHEMA_FILE).exists():
        _write_schema(schema)
    print(f"{text}\nwritten to {output}; now run it: pytest {output}")
    return 0


def _look_for(output: Path, force: bool) -> None:
    """Raise UsageProblem for a file that is there."""
    if os.path.lexists(output) and not force:
        raise UsageProblem(f"{output} is there already; --force replaces it, -o writes another")


def _as_written(id: str, folder: Path) -> tuple[str, str | None]:
    """(id, name) as a gate file in ``folder`` has them: directories are relative to it, and have a name."""
    from .models.sources.ids import parse_id, split_alias

    parsed = parse_id(id)
    alias, target = split_alias(id)
    if parsed.scheme != "directory":
        return target, alias
    relative = Path(os.path.relpath(Path(target).expanduser(), folder)).as_posix()
    name = alias or Path(os.path.abspath(target)).name
    return relative if relative.startswith("..") else f"./{relative}", name


def write_schema(args: argparse.Namespace) -> int:
    """Write the published schema, and tell the line by which an editor finds it."""
    from .gates.json_schema import modeline, published_schema

    if args.file == "-":
        print(published_schema(), end="")
        return 0
    _write_schema(Path(args.file))
    print(f"{args.file} is written; the first line of a gate file beside it: {modeline(Path(args.file).name)}")
    return 0


def _write_schema(path: Path) -> None:
    from .gates.json_schema import published_schema
    from .records.writing import write_in_one_piece

    write_in_one_piece(path, published_schema())


def show_report(args: argparse.Namespace) -> int:
    """The verdict on each gate, by the function that the run itself used; 0 if all of them say RELEASE."""
    from .gates import Release, decide_all
    from .records import read_results
    from .reports.gates import gate_headline, gate_story
    from .reports.printing import printable

    verdicts = decide_all(read_results(args.results))
    if not verdicts:
        raise UsageProblem(f"{args.results}: no gate was run; pytest NAME.interp.yaml --interp-json FILE runs one")
    for verdict in verdicts:
        for line in (*gate_story(verdict), gate_headline(verdict)):
            print(printable(line))
    return int(any(verdict.says is not Release.RELEASE for verdict in verdicts))
