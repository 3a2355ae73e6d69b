"""In a repository with tests of its own, one line in pyproject.toml and one YAML file are all that a user adds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BEFORE = """
[project]
name = "their-model"
version = "1.0"

[project.optional-dependencies]
test = [
    "pytest",
]

[tool.pytest.ini_options]
testpaths = ["tests"]
addopts = ["--strict-markers", "--strict-config"]
python_functions = ["check_*"]
filterwarnings = ["error"]
"""
LINE = '    "interp-assert",\n'
GATE = """
budget: quick
claims:
  circuits/induction:
    floor: 0.5
    why: users paste logs and expect them to be continued
models:
  - zoo:gpt_neox
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """As it was before: a package with one test, which passes."""
    root = tmp_path / "their repository"
    (root / "tests").mkdir(parents=True)
    (root / "pyproject.toml").write_text(BEFORE)
    (root / "tests" / "test_theirs.py").write_text("def check_theirs(tmp_path):\n    assert tmp_path.is_dir()\n")
    return root


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_one_line_and_one_file_make_a_gate(repository: Path) -> None:
    before = run(repository)
    assert before.returncode == 0
    assert "1 passed" in before.stdout

    project = repository / "pyproject.toml"
    project.write_text(BEFORE.replace('    "pytest",\n', f'    "pytest",\n{LINE}'))
    assert len(project.read_text().splitlines()) == len(BEFORE.splitlines()) + 1
    gate = repository / "tests" / "release.interp.yaml"
    gate.write_text(GATE)
    released = run(repository)
    assert released.returncode == 0, released.stdout + released.stderr
    assert "2 passed" in released.stdout
    assert "gate release (tests/release.interp.yaml): RELEASE: 1 required claim on 1 model" in released.stdout

    gate.write_text(GATE.replace("zoo:gpt_neox", "zoo:gpt2-no-induction"))
    blocked = run(repository)
    assert blocked.returncode == 1
    assert "1 failed, 1 passed" in blocked.stdout
    assert "BLOCK: zoo:gpt2-no-induction (circuits/induction)" in blocked.stdout
    assert "circuits/induction does not hold: accuracy is 0.0" in blocked.stdout
    assert "it matters  users paste logs and expect them to be continued" in blocked.stdout
    assert "Traceback" not in blocked.stdout + blocked.stderr
    added = {path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()}
    assert {path for path in added if "__pycache__" not in path} == {
        "pyproject.toml",
        "tests/test_theirs.py",
        "tests/release.interp.yaml",
    }
