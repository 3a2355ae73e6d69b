"""The database of a history: a SQLite file, opened through SQLAlchemy, written in transactions that wait for each
other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageProblem

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["DEFAULT", "History", "open_history"]

DEFAULT = ".interp-history/history.sqlite"
"""in the folder where one works; the folder keeps itself out of git"""

_WAIT = 120.0
"""Seconds that a writer waits for the others; each holds the file for some milliseconds."""


class History:
    """A history that can be written and read; every use is one transaction.

    A write takes the file for itself from its first statement on (``BEGIN IMMEDIATE``) and is whole or did not happen,
    whenever the process or the machine stops. SQLite's rollback journal, not its write-ahead log: at rest a history is
    one file, which may be copied, cached and read where nothing can be written.
    """

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._engine = engine

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Everything inside the block is written together; the tables are there. Raises UsageProblem where the file
        cannot be written, is no history, or is one of another schema.
        """
        self._make_folder()
        with self._transaction("BEGIN IMMEDIATE") as connection:
            self._make_tables(connection)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One state of the history, however many write meanwhile. Raises UsageProblem where there is none."""
        if not self.path.is_file() or not self.path.stat().st_size:  # empty where the first run broke off
            raise UsageProblem(
                f"{self.path}: there is no history yet; `interp-assert track` or --interp-history makes one"
            )
        with self._transaction("BEGIN") as connection:
            self._check_version(connection)
            yield connection

    def prove_writable(self) -> None:
        """Open the file, make it if there is none, and write nothing else: what is wrong is known before measuring."""
        with self.writing():
            pass

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        from sqlalchemy.exc import DBAPIError

        try:
            with self._engine.connect().execution_options(interp_begin=begin) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise UsageProblem(f"{self.path}: {_explained(str(error.orig))}") from error

    def _make_folder(self) -> None:
        folder = self.path.parent
        if folder.is_dir():
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if folder.name == Path(DEFAULT).parent.name:
                (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise UsageProblem(f"{self.path}: its folder cannot be made: {error.strerror or error}") from error

    def _make_tables(self, connection: Connection) -> None:
        from sqlalchemy import inspect

        from .tables import SCHEMA, TABLES, VERSION

        there = set(inspect(connection).get_table_names())
        if not there:
            TABLES.create_all(connection)
            connection.execute(VERSION.insert().values(version=SCHEMA))
        self._check_version(connection, there)

    def _check_version(self, connection: Connection, there: set[str] | None = None) -> None:
        from sqlalchemy import inspect, select

        from .tables import SCHEMA, VERSION

        there = set(inspect(connection).get_table_names()) if there is None else there or {VERSION.name}
        if VERSION.name not in there:
            raise UsageProblem(f"{self.path}: this database is no history of interp-assert; name another file")
        found = connection.execute(select(VERSION.c.version)).scalars().all()
        if found != [SCHEMA]:
            raise UsageProblem(f"{self.path}: {_of_another_schema(found, SCHEMA)}")


def open_history(url: str | os.PathLike[str], start: Path | None = None) -> History:
    """The history at a path or ``sqlite:///path`` (relative to ``start``, by default where one works); nothing is
    opened or written yet.

    Raises UsageProblem for other databases, which follow in later versions, and for one in memory.
    """
    path = Path(start or Path.cwd()) / _path_of(os.fspath(url))
    return History(path, _engine(path))


def _path_of(url: str) -> Path:
    if "://" not in url:
        if not url.strip() or "\0" in url:
            raise UsageProblem(f"{url!r} names no file for a history; write a path such as {DEFAULT}")
        return Path(url).expanduser()
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is a plain ValueError
        raise UsageProblem("the history's address is no URL; write a path, or sqlite:///path") from None
    shown = parsed.render_as_string(hide_password=True)
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise UsageProblem(f"{shown}: a history is a SQLite file so far (sqlite:///path); other databases follow")
    if parsed.host or parsed.query or not parsed.database or parsed.database.startswith((":memory:", "file:")):
        raise UsageProblem(f"{shown}: a history is a file; write sqlite:///path, with four slashes if it is absolute")
    return Path(parsed.database).expanduser()


def _engine(path: Path) -> Engine:
    from sqlalchemy import URL, NullPool, create_engine, event

    engine = create_engine(
        URL.create("sqlite", database=os.fspath(path)), poolclass=NullPool, connect_args={"timeout": _WAIT}
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # else sqlite3 itself decides when a transaction begins
        for setting in ("foreign_keys=ON", "trusted_schema=OFF", "synchronous=FULL"):
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options()["interp_begin"])

    return engine


def _of_another_schema(found: Sequence[int], own: int) -> str:
    """What to do with a history of a version that is not this one; it is left as it is."""
    told = f"the history has schema {', '.join(map(str, found)) or 'unknown'}, this version of interp-assert reads and"
    if len(found) == 1 and found[0] > own:
        return f"{told} writes {own}; a newer version has written it: update interp-assert, or begin another file"
    if len(found) == 1:
        return f"{told} writes {own}; an older version has written it: read it with that one, and begin another file"
    return f"{told} writes {own}; it is damaged: restore a copy, or begin another file"


def _explained(problem: str) -> str:
    """SQLite's own words, and what to do."""
    for words, remedy in (
        ("locked", f"another process has been writing for {_WAIT:.0f} seconds; try again when it is done"),
        ("not a database", "it is another kind of file, or damaged; name another"),
        ("malformed", "the file is damaged; restore a copy, or begin another"),
        ("full", "there is no room on the disk; what was there before is unchanged"),
        ("readonly", "it cannot be written; name a file in a folder that can"),
        ("unable to open", "the file or its folder cannot be opened; name a file in a folder that can be written"),
    ):
        if words in problem:
            return f"{problem}: {remedy}"
    return problem
