"""Digests over files and weights: stable, sensitive, and the same whatever the way to the files."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from interp_assert import load
from interp_assert.models.sources.identity import digest_of_files, digest_of_state, git_blob_sha1
from interp_assert.models.weights.memory import available_memory

from .tiny_models import llama, save


def test_one_file_has_its_plain_sha256(tmp_path: Path) -> None:
    directory = save(llama(), tmp_path / "a")
    plain = hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()
    assert load(str(directory)).identity.sha256 == plain
    copy = shutil.copytree(directory, tmp_path / "b")
    assert load(f"name={copy}").identity.sha256 == plain


def test_several_files_are_hashed_by_name_and_content() -> None:
    pairs = [("b", "2"), ("a", "1")]
    assert digest_of_files(pairs) == digest_of_files(pairs[::-1])
    assert digest_of_files(pairs) != digest_of_files([("b", "1"), ("a", "2")])
    assert digest_of_files(pairs) == hashlib.sha256(b"1  a\n2  b\n").hexdigest()


def test_a_state_is_hashed_by_names_dtypes_shapes_and_values() -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
    digest = digest_of_state(state)
    assert digest == digest_of_state(dict(reversed(state.items())))
    assert digest == digest_of_state({**state, "a": state["a"].t().contiguous().t()})
    for other in (
        {**state, "a": state["a"].reshape(3, 2)},
        {**state, "a": state["a"].double()},
        {**state, "b": -state["b"]},
        {"c": state["a"], "b": state["b"]},
        {"a": state["a"]},
    ):
        assert digest_of_state(other) != digest


def test_a_git_blob_id_is_gits(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    assert git_blob_sha1(path) == "ce013625030ba8dba906f756967f9e9ca394464a"
    if shutil.which("git"):
        done = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == git_blob_sha1(path)


@pytest.mark.parametrize(("limit", "expected"), [("max", 8_000_000_000), ("3000000000", 2_100_000_000)])
def test_available_memory_obeys_control_groups(tmp_path: Path, limit: str, expected: int) -> None:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (cgroup / "job" / "task").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable:    7812500 kB\n")
    (proc / "self" / "cgroup").write_text("0::/job/task\n")
    (cgroup / "job" / "memory.max").write_text(limit)
    (cgroup / "job" / "memory.current").write_text("1000000000")
    (cgroup / "job" / "memory.stat").write_text("anon 1\ninactive_file 100000000\n")
    assert available_memory(proc, cgroup) == expected
