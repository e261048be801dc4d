"""Engines and transactions, one code path for PostgreSQL and SQLite.

Nothing is opened at import: a :class:`Database` is built per process, at its edge, and handed in.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, CursorResult, Engine, Executable, Row, create_engine, event, func, make_url, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from .clock import boottime, utc_now
from .errors import Unreachable
from .settings.urls import hide_password
from .types import Moment

if TYPE_CHECKING:
    import sqlite3

Clock = Callable[[], datetime]

_NOW = select(func.clock_timestamp(type_=Moment()))

SQLITE_BUSY_SECONDS = 30.0
"""How long a SQLite writer waits for another before it gives up."""

IDLE_SECONDS = 60.0
"""How long PostgreSQL lets a transaction of ours stand still. A process that is frozen or cut off in the middle of one
holds its account's lock, and every scheduler would wait for it."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One open transaction and the moment it works with.

    Attributes:
        connection: where statements go.
        now: the database's moment, read first.
        asked: seconds on :func:`boottime` before the moment was asked for: deadlines count from here.
        answered: the same after the answer came: moments before which nothing may leave count from here.
    """

    connection: Connection
    now: datetime
    asked: float
    answered: float

    @property
    def dialect(self) -> str:
        """``postgresql`` or ``sqlite``."""
        return self.connection.dialect.name

    def execute(self, statement: Executable, /, **values: Any) -> CursorResult[Any]:
        """Run a statement; ``values`` are those of its named parameters."""
        return self.connection.execute(statement, values or None)

    def rows(self, statement: Executable, /, **values: Any) -> Sequence[Row[Any]]:
        """All rows of a query."""
        return self.execute(statement, **values).all()

    def mappings(self, statement: Executable) -> list[dict[str, Any]]:
        """All rows of a query, each by column name."""
        return [dict(row) for row in self.connection.execute(statement).mappings()]

    def mapping(self, statement: Executable) -> dict[str, Any] | None:
        """The one row of a query by column name, or None."""
        row = self.connection.execute(statement).mappings().one_or_none()
        return dict(row) if row is not None else None

    def not_before(self, moment: datetime) -> float:
        """The boottime at which ``moment`` has surely come."""
        return self.answered + (moment - self.now).total_seconds()

    def not_after(self, moment: datetime) -> float:
        """The boottime at which ``moment`` has surely not passed yet."""
        return self.asked + (moment - self.now).total_seconds()

    @classmethod
    def over(cls, connection: Connection, clock: Clock | None = None) -> "Transaction":
        """Work inside a transaction somebody else opened and will end."""
        asked = boottime()
        if clock is not None:
            now = clock()
        elif connection.dialect.name == "sqlite":
            now = utc_now()
        else:
            now = connection.execute(_NOW).scalar_one()
        return cls(connection, now, asked, boottime())


class Database:
    """The engine of this process.

    Args:
        url: an SQLAlchemy URL, ``postgresql+psycopg://…`` or ``sqlite:///…``.
        clock: where moments come from; None asks the database. Tests pass a fake.
        pool_size: connections at most, opened when needed and kept; a job holds one for a transaction's length.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, pool_size: int = 16) -> None:
        self.url = make_url(url)
        self.clock = clock
        self.engine = _engine(self.url.render_as_string(hide_password=False), pool_size)

    def __repr__(self) -> str:
        return f"Database({self.shown})"

    @property
    def shown(self) -> str:
        """Its address without a password, wherever in it one stands: PostgreSQL takes them as parameters, too."""
        return hide_password(self.url.render_as_string(hide_password=True))

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A writing transaction: committed durably at the end, rolled back on any error."""
        with self._begin(self.engine) as transaction:
            yield transaction

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that only reads: on SQLite it does not wait for writers."""
        with self._begin(self.engine.execution_options(redrive_reading=True)) as transaction:
            yield transaction

    @contextmanager
    def _begin(self, engine: Engine) -> Iterator[Transaction]:
        with self.saying_unreachable(), engine.begin() as connection:
            yield Transaction.over(connection, self.clock)

    @contextmanager
    def saying_unreachable(self) -> Iterator[None]:
        """Turn "no connection" into :class:`Unreachable`, which names the database without its password."""
        try:
            yield
        except PoolTimeout as error:
            raise Unreachable(f"database {self.shown}: no connection came free in time") from error
        except DBAPIError as error:
            # Whatever a server calls the reason for which it ended our session, the session is gone.
            if not (error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)):
                raise
            raise Unreachable(f"database {self.shown}: {words(error)}") from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def words(error: DBAPIError) -> str:
    """The database's own words, on one line."""
    return " ".join(str(error.orig).split())[:300]


def _engine(url: str, pool_size: int) -> Engine:
    if url.startswith("sqlite"):
        return _sqlite_engine(url)
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        json_deserializer=_from_json,
        connect_args={"options": _postgres_options(), "application_name": "redrive", **_NETWORK},
    )


def _from_json(text: bytes | str) -> object:
    """Most tasks have no parameters, and each is read four times on its way through a batch."""
    return {} if text == b"{}" else json.loads(text)


_NETWORK = {
    "connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}  # fmt: skip
"""A host that vanishes without a word is noticed within a minute, not when the system's own two hours are over."""


_POSTGRES = {
    # A record that was confirmed must survive a crash, whatever the server's default is.
    "synchronous_commit": "on",
    # Moments come in UTC, so that none needs to be converted.
    "timezone": "UTC",
    # Whatever we ask for finds its rows by an index, a batch at a time. With statistics from when a table was small, as
    # after a large import, PostgreSQL would rather read all of it, for every batch.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


def _postgres_options() -> str:
    settings = {**_POSTGRES, "idle_in_transaction_session_timeout": f"{IDLE_SECONDS * 1000:.0f}"}
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url, poolclass=QueuePool, connect_args={"check_same_thread": False, "timeout": SQLITE_BUSY_SECONDS}
    )

    @event.listens_for(engine, "connect")
    def prepare(raw: "sqlite3.Connection", _record: object) -> None:
        raw.isolation_level = None  # we say BEGIN ourselves
        _use_wal(raw)
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # SQLite drops FOR UPDATE without a word: one writer at a time from the first statement on does its work.
        reading = connection.get_execution_options().get("redrive_reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _use_wal(raw: "sqlite3.Connection") -> None:
    """Switch the file to WAL, which SQLite remembers in it.

    Of connections that make a new file's first switch together, SQLite refuses all but one at once: each holds what
    the others wait for, so its own busy timeout does not apply.
    """
    import sqlite3  # noqa: PLC0415 - a megabyte that services on PostgreSQL need not hold

    give_up = boottime() + SQLITE_BUSY_SECONDS
    while True:
        try:
            raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or boottime() > give_up:
                raise
        else:
            return
        time.sleep(0.01)


def insert_for(transaction: Transaction) -> Callable[..., Any]:
    """The dialect's ``insert``, the one with ON CONFLICT."""
    if transaction.dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415 - one of the two is used

        return sqlite_insert
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert  # noqa: PLC0415 - one of the two is used

    return postgresql_insert
