"""Eight processes that append to one history at once, one of them killed: nothing is lost, nothing is there twice."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interp_assert.records.history import append, open_history

from . import made

PROCESSES, RUNS, KILLED = 8, 8, "p3"


def begin(path: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, made.__file__, str(path), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sqlite3.Connection, int]]:
    """The database after all is over, and how many runs the killed process had said to be done."""
    path = tmp_path_factory.mktemp("history") / "h.sqlite"
    processes = {f"p{k}": begin(path, f"p{k}", str(RUNS)) for k in range(PROCESSES)}
    try:
        assert [line(process) for process in processes.values()] == ["ready"] * PROCESSES
        for process in processes.values():
            go(process)
        victim = processes[KILLED]
        said = 0
        while said < 3:
            assert line(victim) == str(said)
            said += 1
        victim.send_signal(signal.SIGKILL)
        rest = victim.communicate(timeout=60)[0].split()
        for name, process in processes.items():
            if name != KILLED:
                assert process.communicate(timeout=120)[0].split() == [str(k) for k in range(RUNS)]
                assert process.returncode == 0
    finally:
        for process in processes.values():
            process.kill()
    with sqlite3.connect(path) as connection:
        yield connection, said + len(rest)
    connection.close()


def rows(connection: sqlite3.Connection, query: str) -> list[tuple[object, ...]]:
    return connection.execute(query).fetchall()


def test_every_run_that_was_done_is_there_once(written: tuple[sqlite3.Connection, int]) -> None:
    connection, said = written
    there = [str(id) for (id,) in rows(connection, "select id from interp_runs")]
    assert len(set(there)) == len(there)
    others = {f"p{k}-{number}" for k in range(PROCESSES) if f"p{k}" != KILLED for number in range(RUNS)}
    of_the_killed = [id for id in there if id.startswith(f"{KILLED}-")]
    assert set(there) == others | set(of_the_killed)
    # It may have been killed after a run was written and before it could say so.
    assert of_the_killed == [f"{KILLED}-{number}" for number in range(len(of_the_killed))]
    assert len(of_the_killed) in (said, said + 1)
    assert said < RUNS


def test_every_verdict_stands_there_once_and_whole(written: tuple[sqlite3.Connection, int]) -> None:
    connection, _ = written
    runs = rows(connection, "select count(*) from interp_runs")[0][0]
    assert rows(connection, "select check_name, count(*) from interp_verdicts group by 1 order by 1") == [
        ("a/b", runs),
        ("c/d", RUNS),
    ]
    assert rows(connection, "select count(*) from interp_sightings")[0][0] == 2 * int(str(runs))
    assert rows(connection, "select count(*), count(distinct verdict) from interp_measurements") == [(runs, runs)]
    assert rows(connection, "select count(*) from interp_clusters") == [(1,)]
    assert rows(connection, "select count(*) from interp_models where name = 'shared'") == [(1,)]


def test_the_file_is_sound(written: tuple[sqlite3.Connection, int]) -> None:
    connection, _ = written
    assert rows(connection, "pragma integrity_check") == [("ok",)]
    assert rows(connection, "pragma foreign_key_check") == []


HALF = """
import sys, time
from interp_assert.records.history import open_history
from interp_assert.records.history.tables import MODELS
with open_history(sys.argv[1]).writing() as connection:
    row = {"sha256": "x" * 64, "architecture": "y" * 4000, "parameters": 1}
    connection.execute(MODELS.insert(), [{**row, "name": str(number)} for number in range(2000)])
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_run_that_is_killed_while_it_writes_leaves_nothing(tmp_path: Path) -> None:
    """More than SQLite keeps in memory, so that half of it stands in the file when the process is killed."""
    path = tmp_path / "h.sqlite"
    history = open_history(path)
    append(history, made.results((made.model("m"), made.check("a/b", "m"))), kind="track", id="before")
    process = subprocess.Popen([sys.executable, "-c", HALF, str(path)], stdout=subprocess.PIPE, text=True)
    assert line(process) == "written"
    assert Path(f"{path}-journal").stat().st_size > 0
    assert path.stat().st_size > 4_000_000
    process.kill()
    process.communicate()
    append(history, made.results((made.model("n"), made.check("a/b", "n"))), kind="track", id="after")
    with sqlite3.connect(path) as connection:
        assert rows(connection, "select id from interp_runs order by number") == [("before",), ("after",)]
        assert rows(connection, "select name from interp_models order by number") == [("m",), ("n",)]
        assert rows(connection, "pragma integrity_check") == [("ok",)]
    connection.close()
