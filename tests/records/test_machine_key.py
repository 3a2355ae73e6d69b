"""The key of a machine: made once, kept to oneself, never taken from where others write."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from interp_assert.records.machine_key import NoKey, key_path, machine_key

from .limits import full_disk, read_only


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "interp-assert"


def test_it_is_made_on_first_use_and_stays(state: Path, tmp_path: Path) -> None:
    key = machine_key(tmp_path / "cache")
    assert len(key) == 32
    assert machine_key(tmp_path / "cache") == key
    assert [path.name for path in state.iterdir()] == ["cache.key"]
    assert stat.S_IMODE((state / "cache.key").stat().st_mode) == 0o600


def test_processes_that_make_it_at_once_get_the_same_one(state: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from interp_assert.records.machine_key import machine_key;"
        "sys.stdin.read(); print(machine_key(Path(sys.argv[1])).hex())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache")]
    waiting, go = os.pipe()
    started = [subprocess.Popen(command, stdin=waiting, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    os.close(waiting)
    os.close(go)
    keys = {process.communicate()[0] for process in started}
    assert len(keys) == 1
    assert [path.name for path in state.iterdir()] == ["cache.key"]


@pytest.mark.parametrize("how", [shutil.copyfile, shutil.copy2, os.replace])
def test_a_key_that_was_copied_or_put_in_its_place_signs_otherwise(state: Path, tmp_path: Path, how: Any) -> None:
    """Whoever reads the key of an image, or of a restored home, cannot sign for the machines that use it."""
    key = machine_key(tmp_path / "cache")
    path = state / "cache.key"
    os.replace(path, tmp_path / "elsewhere")
    time.sleep(0.02)  # the clock of a file system ticks a few hundred times a second
    how(tmp_path / "elsewhere", path)
    os.chmod(path, 0o600)
    os.utime(path, ns=(0, 0))
    assert machine_key(tmp_path / "cache") != key
    assert machine_key(tmp_path / "cache") == machine_key(tmp_path / "cache")


@pytest.mark.parametrize("damage", [b"", b"short", b"k" * 33])
def test_a_damaged_key_is_no_key(state: Path, tmp_path: Path, damage: bytes) -> None:
    machine_key(tmp_path / "cache")
    (state / "cache.key").write_bytes(damage)
    with pytest.raises(NoKey, match="damaged"):
        machine_key(tmp_path / "cache")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_what_others_can_read_or_write_is_no_key(state: Path, tmp_path: Path, mode: int) -> None:
    machine_key(tmp_path / "cache")
    os.chmod(state / "cache.key", mode)
    with pytest.raises(NoKey, match="by others"):
        machine_key(tmp_path / "cache")


def test_a_key_within_the_cache_is_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "cache" / "home"))
    with pytest.raises(NoKey, match="lies within"):
        machine_key(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_where_it_cannot_be_written_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").write_text("a file in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with pytest.raises(NoKey, match="state"):
        machine_key(tmp_path / "cache")


def test_a_home_that_cannot_be_written_and_a_full_disk_give_none(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with full_disk(10), pytest.raises(NoKey, match="File too large"):
        machine_key(tmp_path / "cache")
    assert list(state.iterdir()) == []
    (tmp_path / "home").mkdir()
    with read_only(tmp_path / "home") as home:
        monkeypatch.setenv("XDG_STATE_HOME", str(home))
        with pytest.raises(NoKey, match="denied"):
            machine_key(tmp_path / "cache")


def test_without_a_home_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(NoKey, match="home directory"):
        machine_key(tmp_path / "cache")


def test_it_lies_in_the_home_directory_unless_the_system_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for relative in ("", "not/absolute"):
        monkeypatch.setenv("XDG_STATE_HOME", relative)
        assert key_path() == Path("/home/somebody/.local/state/interp-assert/cache.key")
