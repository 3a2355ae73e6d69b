"""Carries out commands in forks of one process that has imported torch and transformers: ``python warm.py``.

Importing these takes longer than most commands of the documentation take to run. A line of JSON on standard input is a
command, ``{"argv": [...], "folder": PATH, "environment": {...}, "output": FILE}``; the answer on standard output is its
exit status. Nothing of this project is imported ahead, and nothing that a command does reaches the next one.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

AHEAD = ("torch", "scipy.stats", "safetensors.torch", "transformers.models.gpt_neox.modeling_gpt_neox")
SECONDS = 600
"""after which a command is ended"""


def main() -> None:
    del sys.path[0]  # the folder of this file
    for name in AHEAD:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            carry_out(**json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def carry_out(argv: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    """As a new process would, to the end: a program of this environment's, or ``python -c CODE``."""
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    signal.alarm(SECONDS)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    program, *arguments = argv
    place = "" if program == "python" else str(Path(sys.executable).parent)
    sys.path[:0] = [place, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    if program == "python":
        sys.argv, code = arguments[:1], arguments[1]
        sys.modules["__main__"] = module = ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), vars(module))
    else:
        sys.argv = [str(Path(place, program)), *arguments]
        [script] = entry_points(group="console_scripts", name=program)
        sys.exit(script.load()())


if __name__ == "__main__":
    main()
