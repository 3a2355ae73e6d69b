"""The shell of the documentation tells what an ordinary one tells, and commands know nothing of each other."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

from .shell import Shell


@pytest.mark.parametrize(
    ("code", "status", "output"),
    [
        ("print(1); import sys; sys.exit(3)", 3, "1\n"),
        ("raise SystemExit('no')", 1, "no\n"),
        ("raise ValueError('why')", 1, "*ValueError: why\n"),
        ("import os; os.kill(os.getpid(), 15)", -15, ""),
        ("import atexit; atexit.register(print, 'end')", 0, "end\n"),
        ("print(__name__, input())", 1, "*EOFError*"),
    ],
)
def test_status_and_output_of_python(shell: Shell, tmp_path: Path, code: str, status: int, output: str) -> None:
    done = shell.python(code, tmp_path)
    assert done.status == status
    assert fnmatch(done.output, output), done.output


def test_one_command_does_not_reach_the_next(shell: Shell, tmp_path: Path) -> None:
    change = "import os, sys, torch; os.environ['A'] = 'b'; sys.path.clear(); torch.set_default_dtype(torch.float64)"
    assert shell.python(change, tmp_path).status == 0
    look = "import os, torch; print(os.environ.get('A'), torch.get_default_dtype(), os.getcwd())"
    assert shell.python(look, tmp_path).output == f"None torch.float32 {tmp_path}\n"


@pytest.mark.parametrize("word", ["PYTHONPATH=. pytest -q", "PYTHONPATH=. pytest -q || exit $?"])
def test_lines_run_in_forks_and_in_bash_alike(shell: Shell, tmp_path: Path, word: str) -> None:
    (tmp_path / "beside.py").touch()
    (tmp_path / "test_it.py").write_text("import beside, sys\ndef test_it(): assert 'torch' in sys.modules, 'cold'")
    done = shell.line(f'{word} -k "it and not other"  # a comment', tmp_path)
    warm = "||" not in word
    assert done.status == (0 if warm else 1), done.output
    assert ("cold" in done.output) is not warm
