"""The options: one table, from which the command line, the ini file and the environment variables are all derived."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

__all__ = ["OPTIONS", "Chosen", "add_options", "choose"]


# Named tuples, because two frozen dataclasses would cost every pytest run 2 ms: this module is imported in all of them.


class Option(NamedTuple):
    """One option: ``--interp-NAME`` on the command line, ``interp_NAME`` in the ini file, ``INTERP_NAME`` in the
    environment.

    ``kind`` is ``text``, ``list`` (repeatable) or ``flag``; ``convert`` turns the text into the value, and raises
    ``ValueError`` with what is wanted if it cannot.
    """

    name: str
    help: str
    metavar: str = ""
    kind: str = "text"
    default: Any = None
    convert: Callable[[str], Any] = str

    @property
    def flag(self) -> str:
        return f"--interp-{self.name}"

    @property
    def ini(self) -> str:
        return f"interp_{self.name.replace('-', '_')}"

    @property
    def environment(self) -> str:
        return self.ini.upper()


class Chosen(NamedTuple):
    """The value of an option and where it came from: the flag, the environment variable, ``ini NAME`` or
    ``default``."""

    value: Any
    source: str

    @property
    def asked_for_this_run(self) -> bool:
        """Whether somebody asked for it in this very run, not in a file that holds for every run."""
        return self.source.startswith(("--", "INTERP_"))

    @property
    def given(self) -> bool:
        return self.source != "default"


def one_of(*choices: str) -> Callable[[str], str]:
    """A converter that admits only these words."""

    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}")
        return text

    return convert


def error_level(text: str) -> float:
    """A probability of error, above 0 and below one half."""
    value = _number(text, float, "a number")
    if not 0.0 < value < 0.5:
        raise ValueError("it must lie above 0 and below 0.5")
    return float(value)


def whole_number(lowest: int, highest: int = 2**63 - 1) -> Callable[[str], int]:
    """A converter to an integer of at least ``lowest`` and at most ``highest`` (by default what torch can hold)."""

    def convert(text: str) -> int:
        value = _number(text, int, "a whole number")
        if value < lowest:
            raise ValueError(f"it must be at least {lowest}")
        if value > highest:
            raise ValueError(f"it must be at most {highest}")
        return int(value)

    return convert


def yes_or_no(text: str) -> bool:
    """A switch in the ini file or the environment."""
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("choose one of yes, no")


def _number(text: str, kind: type, wanted: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{wanted} is wanted") from None


DTYPES = ("float32", "bfloat16", "float16")

OPTIONS = (
    Option(
        "model",
        "Models under test: zoo:NAME, a directory, or org/name[@revision] of the hub; NAME=./dir gives a directory a "
        "name, org/m@a,@b takes several revisions, zoo:all every model of the zoo, zoo:NAME@all every checkpoint of "
        "one and a folder of checkpoint-* directories each of them. Commas separate models and the option can be "
        "repeated. Default: none; tests that use interp_model then run on zoo:gpt_neox.",
        metavar="ID[,ID]",
        kind="list",
    ),
    Option(
        "base",
        "The model that drift is measured from, under any id that --interp-model takes: what the model under test was "
        "fine-tuned, merged or quantised from. Default: none; the suite drift is then left out.",
        metavar="ID",
    ),
    Option(
        "floor",
        "An absolute floor for a check, for example circuits/induction=0.5. It can be repeated. Default: none.",
        metavar="CHECK=VALUE",
        kind="list",
    ),
    Option(
        "coder",
        "A sparse autoencoder to judge, as SAELens and save_coder write it: SITE=DIRECTORY, such as "
        "blocks.6.resid_post=./sae, or the directory alone if it says its site. Default: the suite trains one.",
        metavar="SITE=DIR",
    ),
    Option(
        "suites",
        "Which shipped suites run: names separated by commas, none, or all, which are those that need not be named "
        "(anatomy, backends and timing do). Default: all, unless paths are given on the command line.",
        metavar="A,B",
    ),
    Option(
        "budget",
        "How many clusters of prompts may be drawn before a claim is INCONCLUSIVE: quick (128), standard (512) or "
        "thorough (4096). Default: standard.",
        metavar="NAME",
        default="standard",
        convert=one_of("quick", "standard", "thorough"),
    ),
    Option("alpha-pass", "The probability of a false PASS. Default: 0.01.", "ALPHA", default=0.01, convert=error_level),
    Option(
        "alpha-fail", "The probability of a false FAIL. Default: 0.001.", "ALPHA", default=0.001, convert=error_level
    ),
    Option("seed", "The seed of prompts and twins. Default: 0.", "N", default=0, convert=whole_number(0)),
    Option(
        "device",
        "The device, such as cpu, cuda or cuda:1, or auto, which spreads a large model over GPUs, memory and disk "
        "(needs interp-assert[large]). Default: the CPU, or a GPU where there is one.",
        metavar="NAME",
    ),
    Option(
        "dtype",
        f"The number format of the weights: {', '.join(DTYPES)}. Default: float32 on the CPU if it fits, else "
        "bfloat16; the checkpoint's own on a GPU.",
        metavar="NAME",
        convert=one_of(*DTYPES),
    ),
    Option(
        "batch-tokens",
        "At most this many tokens go through the model in one forward pass. Default: 8192.",
        metavar="N",
        convert=whole_number(1),
    ),
    Option(
        "inconclusive",
        "What an INCONCLUSIVE claim does: fail, or warn and leave the exit status alone. Default: fail.",
        metavar="fail|warn",
        default="fail",
        convert=one_of("fail", "warn"),
    ),
    Option(
        "history",
        "Append the run to this database: a path or sqlite:///path of a SQLite file. Claims then measure all clusters "
        "of the budget. Default: none.",
        metavar="URL",
    ),
    Option(
        "baseline",
        "What to do with the baselines in the folder interp-baselines: compare holds every claim against its own and "
        "fails what is worse, new also keeps claims that have none, update replaces them, off leaves them alone. "
        "Default: compare if the folder exists.",
        metavar="compare|new|update|off",
        convert=one_of("compare", "new", "update", "off"),
    ),
    Option(
        "no-cache",
        "Measure everything anew, and leave what was measured before alone. Default: a claim that this machine has "
        "measured on the same weights with the same settings is taken from pytest's cache directory.",
        kind="flag",
        default=False,
        convert=yes_or_no,
    ),
    Option("json", "Write the results of the run to this file. Default: none is written.", "FILE"),
    Option(
        "markdown",
        "Write a report for reviewers to this file, in at most 60000 bytes of Markdown. Default: none is written; on "
        "GitHub Actions the summary of the step gets it in any case.",
        metavar="FILE",
    ),
    Option(
        "trust-remote-code",
        "Run Python code that is shipped with the model, with your rights. Default: such a model is refused.",
        kind="flag",
        default=False,
        convert=yes_or_no,
    ),
)


def add_options(parser: pytest.Parser) -> None:
    """Register every option of the table on the command line and in the ini file."""
    group = parser.getgroup("interp", "what is inside a language model (interp-assert)")
    for option in OPTIONS:
        twins = f" Also: ini {option.ini}, environment {option.environment}."
        if option.kind == "flag":
            group.addoption(
                option.flag, dest=option.ini, action="store_const", const="yes", default=None, help=option.help + twins
            )
            parser.addini(option.ini, option.help, type="bool", default=None)
        elif option.kind == "list":
            group.addoption(
                option.flag,
                dest=option.ini,
                action="append",
                metavar=option.metavar,
                default=None,
                help=option.help + twins,
            )
            parser.addini(option.ini, option.help, type="linelist", default=None)
        else:
            group.addoption(
                option.flag, dest=option.ini, metavar=option.metavar, default=None, help=option.help + twins
            )
            parser.addini(option.ini, option.help, type="string", default=None)


def choose(config: pytest.Config, environment: Mapping[str, str] = os.environ) -> dict[str, Chosen]:
    """The value of every option by name: command line before environment before ini file before default.

    Raises ``pytest.UsageError`` naming the source, the value and what is wanted.
    """
    return {option.name: _choose_one(option, config, environment) for option in OPTIONS}


def _choose_one(option: Option, config: pytest.Config, environment: Mapping[str, str]) -> Chosen:
    given, source = config.getoption(option.ini), option.flag
    if given is None and environment.get(option.environment):
        given, source = environment[option.environment], option.environment
    if given is None:
        given, source = _from_ini(option, config), f"ini {option.ini}"
    if given is None or given == []:
        return Chosen(() if option.kind == "list" else option.default, "default")
    if option.kind == "list":
        return Chosen(tuple(given.splitlines() if isinstance(given, str) else given), source)
    if isinstance(given, bool):
        return Chosen(given, source)
    try:
        return Chosen(option.convert(given.strip()), source)
    except ValueError as problem:
        raise pytest.UsageError(f"{source}={given}: {problem}") from None


def _from_ini(option: Option, config: pytest.Config) -> Any:
    try:
        return config.getini(option.ini)
    except (ValueError, pytest.UsageError) as problem:
        if option.ini in str(problem):
            raise
        # What pytest says of a bool does not tell which option it speaks of.
        raise pytest.UsageError(f"ini {option.ini}: {problem}; choose one of yes, no") from None
