"""Every option stands in the documentation, and nothing that is none: of the plugin and of the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from interp_assert.cli import parser
from interp_plugin.options import OPTIONS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def rows(document: str, header: str) -> list[list[str]]:
    """The cells of the table whose first column is called so."""
    lines = (DOCS / document).read_text("utf-8").splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"| {header} |")) + 2
    end = next(place for place in range(start, len(lines)) if not lines[place].startswith("|"))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[start:end]]


def commands(at: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, with its parser."""
    below = [action for action in at._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield name, at
    for action in below:
        for word, command in action.choices.items():
            yield from commands(command, f"{name} {word}".strip())


def test_the_options_of_the_plugin() -> None:
    table = {}
    for option, twins, default, meaning in rows("plugin.md", "option"):
        table[option.strip("`").split()[0]] = (option, twins, default)
        assert meaning
    assert list(table) == sorted(table, key=[option.flag for option in OPTIONS].index)
    assert set(table) == {option.flag for option in OPTIONS}
    for option in OPTIONS:
        shown, twins, default = table[option.flag]
        assert twins == f"`{option.ini}`, `{option.environment}`"
        assert (len(shown.strip("`").split()) == 1) is (option.kind == "flag"), shown
        if isinstance(option.default, str):
            assert default == f"`{option.default}`"
        elif option.default is not None and not isinstance(option.default, bool):
            assert default == str(option.default)


def test_the_commands_and_their_options() -> None:
    told = {row[0].strip("`").removeprefix("interp-assert ") for row in rows("commands.md", "command")}
    there = dict(commands(parser()))
    without_arguments = {" ".join(word for word in line.split() if word.islower()) for line in told}
    assert without_arguments == set(there)

    documented = {
        (option.strip("`"), command.strip("`"))
        for options, of, *_ in rows("commands.md", "option")
        for option in options.split(", ")
        for command in of.split(", ")
    }
    assert documented == {
        (flag, name)
        for name, command in there.items()
        for action in command._actions
        for flag in action.option_strings
        if flag not in ("-h", "--help")
    }
