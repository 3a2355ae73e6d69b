"""The store of signed entries: what it takes back, what it does not, and what it leaves on the disk."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from interp_assert.records.cache import EntryStore

from .limits import full_disk, read_only

KEY = b"k" * 32
ADDRESS = {"weights": "abc", "arguments": {"n": 20, "name": "übung\n<b>"}}
VALUE = {"values": [0.1, float("inf")], "text": "ü"}


@pytest.fixture
def store(tmp_path: Path) -> EntryStore:
    return EntryStore(tmp_path, KEY)


def only(store: EntryStore) -> Path:
    (path,) = store.folder.iterdir()
    return path


def test_what_was_kept_comes_back_under_its_address_only(store: EntryStore) -> None:
    store.put(ADDRESS, VALUE)
    assert EntryStore(store.folder, KEY).get(ADDRESS) == VALUE
    assert store.get({**ADDRESS, "weights": "abd"}) is None
    assert (store.distrusted, store.problem) == (0, None)


def test_a_second_value_replaces_the_first(store: EntryStore) -> None:
    store.put(ADDRESS, VALUE)
    store.put(ADDRESS, "other")
    assert store.get(ADDRESS) == "other"
    assert len(list(store.folder.iterdir())) == 1


@pytest.mark.parametrize("place", [0, 5, 64, 65, 90, -2])
def test_one_changed_bit_anywhere_is_not_taken(store: EntryStore, place: int) -> None:
    store.put(ADDRESS, VALUE)
    content = bytearray(only(store).read_bytes())
    content[place] ^= 1
    only(store).write_bytes(bytes(content))
    assert store.get(ADDRESS) is None
    assert store.distrusted == 1


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", b"0" * 64 + b"\n", b"\xff" * 300, b"[" * 100_000])
def test_what_is_no_entry_is_not_taken(store: EntryStore, content: bytes) -> None:
    store.put(ADDRESS, VALUE)
    only(store).write_bytes(content)
    assert store.get(ADDRESS) is None


def test_an_entry_of_another_key_is_not_taken(store: EntryStore) -> None:
    EntryStore(store.folder, b"x" * 32).put(ADDRESS, VALUE)
    assert store.get(ADDRESS) is None
    store.put(ADDRESS, VALUE)
    assert store.get(ADDRESS) == VALUE


def test_an_entry_that_stands_under_anothers_name_is_not_taken(store: EntryStore) -> None:
    store.put(ADDRESS, "failed")
    here = only(store)
    store.put("other", "passed")
    (there,) = set(store.folder.iterdir()) - {here}
    os.replace(there, here)
    assert store.get(ADDRESS) is None


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_ordinary_file_is_neither_read_nor_waited_for(store: EntryStore, tmp_path: Path, kind: str) -> None:
    store.put(ADDRESS, VALUE)
    path = only(store)
    target = tmp_path / "target"
    os.replace(path, target)
    if kind == "link":
        path.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert store.get(ADDRESS) is None
    assert store.distrusted == 1


def test_the_folder_stays_below_its_limit_and_the_least_used_goes_first(tmp_path: Path) -> None:
    other = tmp_path / "README"
    other.write_text("not ours" * 1000)
    (tmp_path / ".interp-x_1.tmp").write_text("left by a run that was killed" * 100)
    os.utime(tmp_path / ".interp-x_1.tmp", (1, 1))
    store = EntryStore(tmp_path, KEY, most_bytes=2500)
    for k in range(4):
        store.put(k, "x" * 500)
        for path in tmp_path.glob("*.entry"):  # a clock too coarse to tell them apart would leave the order open
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10))
    assert store.get(0) is not None
    store.put(4, "x" * 500)
    store.put(5, "x" * 500)
    kept = [k for k in range(6) if EntryStore(tmp_path, KEY).get(k) is not None]
    assert kept == [0, 3, 4, 5]
    assert sum(path.stat().st_size for path in tmp_path.glob("*.entry")) <= 2500
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".entry") == ["README"]


def test_a_clock_that_jumps_leaves_no_entry_behind_for_ever(tmp_path: Path) -> None:
    store = EntryStore(tmp_path, KEY, most_bytes=1500)
    store.put("tomorrow", "x" * 500)
    os.utime(only(store), (4e9, 4e9))
    for k in range(4):
        store.put(k, "x" * 500)
    assert store.get("tomorrow") == "x" * 500
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1500


def test_what_has_no_form_or_is_too_large_is_not_kept_and_why_is_told(tmp_path: Path) -> None:
    store = EntryStore(tmp_path, KEY, most_bytes=1000)
    store.put("a", object())
    assert "object" in (store.problem or "")
    store.put("b", "x" * 2000)
    assert "larger than the whole cache" in (store.problem or "")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_entry_and_nothing_else(store: EntryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(ADDRESS, VALUE)
    before = only(store).read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    store.put(ADDRESS, "new")
    assert "No space left" in (store.problem or "")
    assert only(store).read_bytes() == before


def test_a_disk_that_is_full_in_the_midst_of_an_entry_leaves_the_old_one(store: EntryStore) -> None:
    store.put(ADDRESS, VALUE)
    before = only(store).read_bytes()
    with full_disk():
        store.put(ADDRESS, "x" * 9000)
    assert "File too large" in (store.problem or "")
    assert only(store).read_bytes() == before


def test_a_folder_that_cannot_be_written_still_gives_what_is_in_it(store: EntryStore) -> None:
    store.put(ADDRESS, VALUE)
    with read_only(store.folder) as folder:
        copy = EntryStore(folder, KEY)
        assert copy.get(ADDRESS) == VALUE
        copy.put("other", VALUE)
        assert "denied" in (copy.problem or "")


def test_a_folder_that_is_gone_is_told(store: EntryStore) -> None:
    store.folder.rmdir()
    store.put(ADDRESS, VALUE)
    assert store.problem
    assert store.get(ADDRESS) is None


def keep_writing(folder: Path, which: int) -> None:
    store = EntryStore(folder, KEY)
    while True:
        for k in range(4):
            store.put(k, ["x" * 20_000, k])
            store.put((which, k), k)


def test_writers_that_are_killed_at_any_moment_leave_whole_entries(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=keep_writing, args=(tmp_path, which)) for which in range(3)]
    for writer in writers:
        writer.start()
    store = EntryStore(tmp_path, KEY)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        assert all(store.get(k) in (None, ["x" * 20_000, k]) for k in range(4))
    for writer in writers:
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
    assert all(store.get(k) == ["x" * 20_000, k] for k in range(4))
    assert store.distrusted == 0
