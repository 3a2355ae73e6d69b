"""Every code block of README.md and docs/ is run, in order, one folder per document.

A comment before a block says what is special: ``<!-- file: NAME -->`` saves it for the blocks after it
(of a workflow of GitHub's the commands are run, too), ``<!-- exit: N
-->`` expects that status of at least one of its commands and 0 of the rest, ``<!-- run in CI -->`` leaves it to CI. Of
``pip install`` lines only what follows is run: the installation itself is the first step of CI.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from .shell import Shell

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
ABOUT_THE_PROJECT = re.compile(r"pytest( -n auto --dist worksteal)?( tests/.*)?|ruff .*")
"""The project's own tests and linters: CI runs them, and running them in here would not end."""

FENCE = re.compile(r"(?:<!-- (?P<directive>[^>]*) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    directive: str

    @property
    def file(self) -> str | None:
        return self.directive.removeprefix("file: ") if self.directive.startswith("file: ") else None

    @property
    def exit(self) -> int:
        return int(self.directive.removeprefix("exit: ")) if self.directive.startswith("exit: ") else 0


def blocks_of(document: Path) -> list[Block]:
    return [Block(m["language"], m["code"], m["directive"] or "") for m in FENCE.finditer(document.read_text("utf-8"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_code_blocks_run(document: Path, tmp_path: Path, shell: Shell) -> None:
    blocks = blocks_of(document)
    assert blocks, f"{document.name} shows no code"
    for block in blocks:
        if block.file is not None:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.code, encoding="utf-8")
            if block.file.startswith(".github/workflows/"):
                run_commands(Block("bash", "\n".join(steps_of(block.code)), ""), tmp_path, shell)
        if block.language == "toml":
            tomllib.loads(block.code)
        elif block.language == "python" and block.file is None:
            done = shell.python(block.code, tmp_path)
            assert done.status == 0, f"{block.code}\n{done.output}"
        elif block.language == "bash" and block.directive != "run in CI":
            run_commands(block, tmp_path, shell)


def test_the_worked_example_of_a_measurement_is_short() -> None:
    [example, _] = [block for block in blocks_of(ROOT / "docs" / "own-measurements.md") if block.file]
    assert example.file == "conftest.py"
    assert len(example.code.splitlines()) < 30


def steps_of(workflow: str) -> list[str]:
    """The commands of a workflow in order, but for what installs."""
    jobs = yaml.safe_load(workflow)["jobs"].values()
    steps = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    return [step for step in steps if "pip install" not in step]


def run_commands(block: Block, folder: Path, shell: Shell) -> None:
    statuses = []
    for line in block.code.splitlines():
        command = re.sub(r'^pip install -e "\.\[\w+\]"( && )?', "", line)
        if command and not ABOUT_THE_PROJECT.fullmatch(command):
            done = shell.line(command, folder)
            assert done.status in (0, block.exit), f"$ {command}\nexit status {done.status}\n{done.output}"
            statuses.append(done.status)
    assert block.exit == 0 or block.exit in statuses, f"nothing ended with {block.exit}: {block.code}"


def test_ci_runs_the_readmes_commands() -> None:
    """The two commands of the README that set everything up are what CI does."""
    commands = [
        line for block in blocks_of(ROOT / "README.md") for line in block.code.splitlines() if "pip install" in line
    ]
    assert [command.split(" && ")[-1] for command in commands] == [
        "pytest interp --interp-model=zoo:gpt_neox",
        "pytest -n auto --dist worksteal",
    ]
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.search(r"^pytest -n auto --dist worksteal$", script, re.MULTILINE)
