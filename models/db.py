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

from sqlalchemy import (
    Connection,
    CursorResult,
    Engine,
    Executable,
    Row,
    Select,
    create_engine,
    event,
    func,
    literal_column,
    make_url,
    select,
    text,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from .clock import boottime, utc_now
from .db_errors import meaning, session_is_useless, words
from .errors import Unreachable
from .settings.urls import hide_password
from .types import Moment

if TYPE_CHECKING:
    import sqlite3

Clock = Callable[[], datetime]

NEWEST_LEVEL = 2
"""The newest schema this version knows. It works on the one before, too, and then does without what is new."""

PEOPLE_LOCK_SECONDS = 5.0
WORKER_LOCK_SECONDS = 0.5
SCHEDULER_LOCK_SECONDS = 0.1
"""How long people, workers and schedulers wait for a row that a host, psql or a backup may hold for hours. A scheduler
serves all accounts one after the other, so that it goes on to the next."""

SQLITE_BUSY_SECONDS = 30.0
"""How long a SQLite writer waits for another before it gives up."""

IDLE_SECONDS = 60.0
"""How long PostgreSQL lets a transaction of ours stand still. A process that is frozen or cut off in the middle of one
holds its account's lock, and every scheduler would wait for it."""


_NOW = select(func.clock_timestamp(type_=Moment()))


@dataclass(frozen=True, slots=True)
class Transaction:
    """One open transaction and the moment it works with.

    Attributes:
        connection: where statements go.
        now: the database's moment, read first.
        asked: seconds on :func:`boottime` before the moment was asked for: deadlines count from here.
        answered: the same after the answer came: moments before which nothing may leave count from here.
        level: which schema the database has; see :func:`models.tables.columns`.
    """

    connection: Connection
    now: datetime
    asked: float
    answered: float
    level: int = NEWEST_LEVEL

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

    def roll_back(self) -> None:
        """Undo all of it: it was only a try. Nothing more may be asked of it."""
        if (transaction := self.connection.get_transaction()) is not None:
            transaction.rollback()

    def not_before(self, moment: datetime) -> float:
        """The boottime at which ``moment`` has surely come."""
        return self.answered + (moment - self.now).total_seconds()

    def not_after(self, moment: datetime) -> float:
        """The boottime at which ``moment`` has surely not passed yet."""
        return self.asked + (moment - self.now).total_seconds()

    @classmethod
    def over(
        cls, connection: Connection, clock: Clock | None = None, level: int = NEWEST_LEVEL, now: Select[Any] = _NOW
    ) -> "Transaction":
        """Work inside a transaction somebody else opened and will end. ``now`` asks PostgreSQL for the moment."""
        asked = boottime()
        moment = utc_now() if connection.dialect.name == "sqlite" else connection.execute(now).one()[0]
        return cls(connection, clock() if clock is not None else moment, asked, boottime(), level)


class Database:
    """The engine of this process.

    Args:
        url: an SQLAlchemy URL, ``postgresql+psycopg://…`` or ``sqlite:///…``.
        clock: where moments come from; None asks the database. Tests pass a fake.
        pool_size: connections at most, opened when needed and kept; a job holds one for a transaction's length.
        lock_seconds: how long a statement waits for a row or table that somebody else holds.

    Attributes:
        level: which schema it has, once :func:`models.migrate.check` has asked.
    """

    def __init__(
        self, url: str, *, clock: Clock | None = None, pool_size: int = 16, lock_seconds: float = PEOPLE_LOCK_SECONDS
    ) -> None:
        self.url = make_url(url)
        self.clock = clock
        self.level = NEWEST_LEVEL
        self.engine = _engine(self.url.render_as_string(hide_password=False), pool_size)
        self._first = _first_statement(lock_seconds)

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
            yield Transaction.over(connection, self.clock, self.level, self._first)

    @contextmanager
    def within(self, connection: Connection) -> Iterator[Transaction]:
        """Work inside a transaction of a host's, which ends it: what goes wrong undoes our part and no more.

        Errors are SQLAlchemy's, for :func:`.db_errors.meaning`: the connection is not ours to name.
        """
        if connection.dialect.name != "postgresql":
            # Releasing a savepoint commits where Python's sqlite3 has not begun a transaction yet.
            yield Transaction.over(connection, self.clock, self.level)
            return
        with connection.begin_nested():
            wait = f"{PEOPLE_LOCK_SECONDS * 1000:.0f}"
            before = connection.execute(_LOCK_TIMEOUT, {"value": wait}).scalar_one()
            yield Transaction.over(connection, self.clock, self.level)
            connection.execute(_SET_LOCK_TIMEOUT, {"value": before})

    @contextmanager
    def saying_unreachable(self) -> Iterator[None]:
        """Turn what passes by itself into :class:`Unreachable`, which names the database without its password."""
        try:
            yield
        except PoolTimeout as error:
            raise Unreachable(f"database {self.shown}: no connection came free in time") from error
        except DBAPIError as error:
            if (ours := meaning(error, f"database {self.shown}")) is None:
                raise
            raise ours from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _engine(url: str, pool_size: int) -> Engine:
    if url.startswith("sqlite"):
        return _sqlite_engine(url)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        json_deserializer=_from_json,
        # Two claims of conflicting tasks need to see what the other committed.
        isolation_level="READ COMMITTED",
        connect_args={"application_name": "redrive", **_NETWORK},
    )

    @event.listens_for(engine, "handle_error")
    def throw_away(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if isinstance(error, DBAPIError) and session_is_useless(error):
            context.is_disconnect = True

    return engine


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
    # Moments come in UTC, so that none needs to be converted, and in a form that psycopg can read.
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    # Whatever we ask for finds its rows by an index, a batch at a time. With statistics from when a table was small, as
    # after a large import, PostgreSQL would rather read all of it, for every batch.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


def _first_statement(lock_seconds: float) -> Select[Any]:
    """The first statement of a transaction: takes the moment and sets what we need, for this transaction alone.

    Not start-up options: poolers drop them, and a session may be another one each time.
    """
    settings = {
        **_POSTGRES,
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS * 1000:.0f}",
        "lock_timeout": f"{lock_seconds * 1000:.0f}",
    }
    said = [func.set_config(name, value, literal_column("true")) for name, value in settings.items()]
    return select(func.clock_timestamp(type_=Moment()), *said)


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


_SET_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :value, true)")
_LOCK_TIMEOUT = text(
    "WITH now AS MATERIALIZED (SELECT current_setting('lock_timeout') AS value) "
    "SELECT now.value FROM now WHERE set_config('lock_timeout', :value, true) IS NOT NULL"
)
"""Sets it and hands back what it was: the one is read before the other is set."""


def insert_for(transaction: Transaction) -> Callable[..., Any]:
    """The dialect's ``insert``, the one with ON CONFLICT."""
    if transaction.dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415 - one of the two is used

        return sqlite_insert
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert  # noqa: PLC0415 - one of the two is used

    return postgresql_insert


__all__ = [
    "NEWEST_LEVEL",
    "PEOPLE_LOCK_SECONDS",
    "SCHEDULER_LOCK_SECONDS",
    "SQLITE_BUSY_SECONDS",
    "WORKER_LOCK_SECONDS",
    "Clock",
    "Database",
    "Transaction",
    "insert_for",
    "words",
]
