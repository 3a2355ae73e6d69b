"""A shell for the lines of the documentation, quick because programs of Python's run in forks of ``warm.py``."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PLAIN = re.compile(r"(?P<settings>([A-Z_]+=\S+ )*)(?P<command>(pytest|interp-assert) [^|&;<>$`*?~]*)")
"""A line that starts one program of this environment's and nothing else."""


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit status, and what it wrote to both streams."""

    status: int
    output: str


class Shell:
    """``with Shell(environment) as shell``: lines of bash, and pieces of Python, each in a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def __enter__(self) -> Shell:
        command = [sys.executable, str(Path(__file__).with_name("warm.py"))]
        self._warm = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._warm.communicate()

    def line(self, line: str, folder: Path) -> Done:
        """Carry out a line of bash in ``folder``."""
        match = PLAIN.fullmatch(line)
        if match is not None:
            settings = dict(setting.split("=", 1) for setting in match["settings"].split())
            return self._in_fork(shlex.split(match["command"], comments=True), folder, settings)
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return Done(done.returncode, done.stdout)

    def python(self, code: str, folder: Path) -> Done:
        """Carry out ``python -c CODE`` in ``folder``."""
        return self._in_fork(["python", "-c", code], folder, {})

    def _in_fork(self, argv: list[str], folder: Path, settings: dict[str, str]) -> Done:
        output = folder / ".output"
        command = {
            "argv": argv,
            "folder": str(folder),
            "environment": self.environment | settings,
            "output": str(output),
        }
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        print(json.dumps(command), file=self._warm.stdin, flush=True)
        status = int(self._warm.stdout.readline())
        written = output.read_text("utf-8")
        output.unlink()
        return Done(status, written)
