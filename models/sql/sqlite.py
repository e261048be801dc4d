"""Connections to an SQLite file."""

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from ..clock import boottime
from ..errors import Unsuitable

if TYPE_CHECKING:
    import sqlite3

BUSY_SECONDS = 30.0
"""How long a writer waits for another before it gives up."""

LOCKED_SECONDS = 1.0
"""How long it is tried before the file is called locked."""

OLDEST = (3, 35, 0)
"""Knows ``UPDATE … FROM`` and ``RETURNING``."""


def engine(url: URL) -> Engine:
    """The engine for an SQLite file.

    Raises:
        Unsuitable: this Python's SQLite is too old.
    """
    timeout = {} if "timeout" in url.query else {"timeout": BUSY_SECONDS}
    made = create_engine(url, poolclass=QueuePool, connect_args={"check_same_thread": False, **timeout})
    _check_version(made)

    @event.listens_for(made, "connect")
    def prepare(raw: "sqlite3.Connection", _record: object) -> None:
        raw.isolation_level = None  # we say BEGIN ourselves
        _use_wal(raw)
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        # SQLite drops FOR UPDATE without a word: one writer at a time from the first statement on does its work.
        reading = connection.get_execution_options().get("redrive_reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return made


def is_locked(found: Engine) -> bool:
    """Whether somebody keeps all others from writing, and for longer than any transaction of ours takes."""
    import sqlite3  # noqa: PLC0415 - as below

    raw = found.raw_connection()
    try:
        raw.execute(f"PRAGMA busy_timeout = {round(LOCKED_SECONDS * 1000)}")
        raw.execute("BEGIN IMMEDIATE")
        raw.rollback()
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    finally:
        raw.invalidate()  # the next one is to wait as long as all others
    return False


def _check_version(made: Engine) -> None:
    dbapi: Any = made.dialect.dbapi
    if dbapi.sqlite_version_info < OLDEST:
        needed = ".".join(map(str, OLDEST[:2]))
        raise Unsuitable(
            f"database: this Python has SQLite {dbapi.sqlite_version}, Redrive needs {needed} or newer; "
            "use a newer Python, or PostgreSQL"
        )


def _use_wal(raw: "sqlite3.Connection") -> None:
    """Switch the file to WAL, which SQLite remembers in it.

    Of connections that make a new file's first switch together, SQLite refuses all but one at once: each holds what
    the others wait for, so its own busy timeout does not apply. A user who may only read the file reads it as it is.
    """
    import sqlite3  # noqa: PLC0415 - a megabyte that services on PostgreSQL need not hold

    give_up = boottime() + BUSY_SECONDS
    while True:
        try:
            if raw.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF
            if code == sqlite3.SQLITE_READONLY:
                return
            if code != sqlite3.SQLITE_BUSY or boottime() > give_up:
                raise
        else:
            return
        time.sleep(0.01)
