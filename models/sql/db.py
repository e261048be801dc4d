"""Engines and transactions, one code path for PostgreSQL and SQLite.

Nothing is opened at import: a :class:`Database` is built per process, at its edge, and handed in.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, Executable, Row, func, make_url, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..clock import boottime, utc_now
from ..errors import Unreachable
from ..settings.urls import hide_password
from . import postgresql, sqlite
from .database_address import schema_of
from .db_errors import meaning, words
from .types import Moment

Clock = Callable[[], datetime]

NEWEST_LEVEL = 3
"""The newest schema this version knows. It works on the one before, too, and then does without what is new."""

PEOPLE_LOCK_SECONDS = 5.0
WORKER_LOCK_SECONDS = 0.5
SCHEDULER_LOCK_SECONDS = 0.1
"""How long people, workers and schedulers wait for a row that a host, psql or a backup may hold for hours. A scheduler
serves all accounts one after the other, so that it goes on to the next."""

_NOW = select(func.clock_timestamp(type_=Moment()))


@dataclass(frozen=True, slots=True)
class Transaction:
    """One open transaction and the moment it works with.

    Attributes:
        connection: where statements go.
        now: the database's moment, read first.
        asked: seconds on :func:`boottime` before the moment was asked for: deadlines count from here.
        answered: the same after the answer came: moments before which nothing may leave count from here.
        level: which schema the database has; see :func:`redrive.models.sql.tables.columns`.
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
        cls,
        connection: Connection,
        clock: Clock | None = None,
        level: int = NEWEST_LEVEL,
        begin: Callable[[Connection], datetime] | None = None,
    ) -> "Transaction":
        """Work inside a transaction somebody else opened and will end. ``begin`` is its first statement."""
        asked = boottime()
        moment = (begin or _now)(connection)
        return cls(connection, clock() if clock is not None else moment, asked, boottime(), level)


def _now(connection: Connection) -> datetime:
    if connection.dialect.name == "sqlite":
        return utc_now()
    moment: datetime = connection.execute(_NOW).scalar_one()
    return moment


class Database:
    """The engine of this process.

    Args:
        url: an SQLAlchemy URL, ``postgresql+psycopg://…`` or ``sqlite:///…``.
        clock: where moments come from; None asks the database. Tests pass a fake.
        pool_size: connections at most, opened when needed and kept; a job holds one for a transaction's length.
        lock_seconds: how long a statement waits for a row or table that somebody else holds.

    Raises:
        SettingsError: the address has a parameter that nobody knows.
        Unsuitable: this Python's SQLite is too old.

    Attributes:
        schema: where in a PostgreSQL database the tables are; None: where the user's ``search_path`` leads.
        level: the revision of the tables, once :func:`redrive.models.sql.migrate.check` has asked.
    """

    def __init__(
        self, url: str, *, clock: Clock | None = None, pool_size: int = 16, lock_seconds: float = PEOPLE_LOCK_SECONDS
    ) -> None:
        self.url = make_url(url)
        self.clock = clock
        self.level = NEWEST_LEVEL
        self.schema = schema_of(self.url)
        self._session: postgresql.Session | None = None
        if self.url.get_backend_name() == "sqlite":
            self.engine = sqlite.engine(self.url)
        else:
            self.engine = postgresql.engine(self.url, pool_size)
            self._session = postgresql.Session(self.shown, lock_seconds, self.schema)

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

    def _first(self, connection: Connection) -> datetime:
        if self._session is None:
            return utc_now()
        writes = not connection.get_execution_options().get("redrive_reading")
        return self._session.begin(connection, writes=writes)

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
            before = {name: _swapped(connection, name, value) for name, value in self._within().items()}
            yield Transaction.over(connection, self.clock, self.level)
            for name, value in before.items():
                connection.execute(_SET_LOCAL, {"name": name, "value": value})

    def _within(self) -> dict[str, str]:
        """What our part of a host's transaction needs; the rest of it keeps the host's."""
        path = {} if self.schema is None else {"search_path": postgresql.quoted(self.schema)}
        return {"lock_timeout": postgresql.duration(PEOPLE_LOCK_SECONDS), **path}

    @contextmanager
    def saying_unreachable(self) -> Iterator[None]:
        """Turn what passes by itself into :class:`Unreachable`, which names the database without its password."""
        try:
            yield
        except PoolTimeout as error:
            raise Unreachable(f"database {self.shown}: no connection came free in time") from error
        except DBAPIError as error:
            if (ours := meaning(error, f"database {self.shown}", self.url.username)) is None:
                raise
            raise ours from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _swapped(connection: Connection, name: str, value: str) -> str:
    """Set it for this transaction; what it was before."""
    before: str = connection.execute(_SWAP_LOCAL, {"name": name, "value": value}).scalar_one()
    return before


_SET_LOCAL = text("SELECT set_config(:name, :value, true)")
_SWAP_LOCAL = text(
    "WITH now AS MATERIALIZED (SELECT current_setting(:name) AS value) "
    "SELECT now.value FROM now WHERE set_config(:name, :value, true) IS NOT NULL"
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
    "WORKER_LOCK_SECONDS",
    "Clock",
    "Database",
    "Transaction",
    "insert_for",
    "words",
]
