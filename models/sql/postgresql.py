"""Sessions on PostgreSQL: how they are opened, what each transaction sets and what it must find.

Nothing is a start-up option of ours: poolers refuse or drop them, and a session may be another one each time. So the
first statement of a transaction sets what we need for this transaction alone, and reads back what came of it.
"""

import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    String,
    and_,
    case,
    create_engine,
    event,
    func,
    literal_column,
    select,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from ..errors import SettingsError, Unreachable, Unsuitable
from . import database_address
from .db_errors import session_is_useless
from .types import Moment

IDLE_SECONDS = 60.0
"""How long PostgreSQL lets a transaction of ours stand still. A process that is frozen or cut off in the middle of one
holds its account's lock, and every scheduler would wait for it."""

OLDEST = (14,)
"""The oldest version of PostgreSQL."""

_DEFAULTS = {
    "application_name": "redrive",
    # A host that vanishes without a word is noticed within a minute, not when the system's own two hours are over.
    "connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}  # fmt: skip
"""What an address may say otherwise."""

_PINNED = {"client_encoding": "utf8"}
"""What it may not."""

_FILLED_IN = {"host", "user", "dbname", "password", "passfile", "service"}
"""What libpq may take from its variables where the address leaves it out. A service adds no more than that either."""

_BUILT_IN = {"sslcertmode": "allow", "min_protocol_version": "3.0", "max_protocol_version": "3.0"}
"""What libpq does by itself and does not tell: elsewhere it takes an empty word for that."""

_SETTINGS = {
    # Moments come in UTC, so that none needs to be converted, and in a form that psycopg can read.
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    # Whatever we ask for finds its rows by an index, a batch at a time. With statistics from when a table was small, as
    # after a large import, PostgreSQL would rather read all of it, for every batch.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}

_FOUND = {
    # Two claims of conflicting tasks need to see what the other committed.
    "transaction_isolation": "read committed",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
}
"""What the session must have from elsewhere."""

_DURABLE = ("on", "remote_apply")

WEAKER = {*_SETTINGS, *_PINNED, "synchronous_commit", "idle_in_transaction_session_timeout", "lock_timeout",
          "default_transaction_isolation"}  # fmt: skip
"""Settings of an address that Redrive overrides, since its promises rest on them."""


def engine(url: URL, pool_size: int) -> Engine:
    """The engine for an address that :func:`redrive.models.sql.database_address.checked` has read.

    Raises:
        SettingsError: the address has a parameter that libpq does not know.
    """
    several = {"target_session_attrs": "read-write"} if database_address.several_hosts(url) else {}
    ours = {name: value for name, value in {**_DEFAULTS, **several}.items() if name not in url.query}
    made = create_engine(
        database_address.for_libpq(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        json_deserializer=_from_json,
        isolation_level="READ COMMITTED",
        connect_args={**ours, **_PINNED},
    )
    _check_parameters(made)

    @event.listens_for(made, "do_connect")
    def leave_variables_out(_dialect: object, _record: object, _args: object, given: dict[str, Any]) -> None:
        for name, value in _without_variables(made).items():
            given.setdefault(name, value)

    @event.listens_for(made, "handle_error")
    def throw_away(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if isinstance(error, DBAPIError) and session_is_useless(error):
            context.is_disconnect = True

    return made


def _without_variables(made: Engine) -> dict[str, str]:
    """What libpq would do by itself, in place of the variables that somebody has set for another program."""
    found = {}
    for each in _parameters(made):
        name, variable = each.keyword.decode(), (each.envvar or b"").decode()
        if variable and name not in _FILLED_IN and not {variable, "PGSERVICE"}.isdisjoint(os.environ):
            found[name] = _BUILT_IN.get(name, (each.compiled or b"").decode())
    return found


def _parameters(made: Engine) -> Sequence[Any]:
    """What libpq knows, and by which variables."""
    dbapi: Any = made.dialect.dbapi
    return dbapi.pq.Conninfo.get_defaults()  # type: ignore[no-any-return]


def _check_parameters(made: Engine) -> None:
    """Refuse what only the first connection would find out, as a defect of ours."""
    known = {each.keyword.decode() for each in _parameters(made)}
    if unknown := sorted(set(made.url.query) - known):
        raise SettingsError(f"REDRIVE_DATABASE_URL: PostgreSQL has no parameter {unknown[0]}; remove it")


def _from_json(text: bytes | str) -> object:
    """Most tasks have no parameters, and each is read four times on its way through a batch."""
    return {} if text == b"{}" else json.loads(text)


class Session:
    """The first statement of a transaction, and what it must find.

    Args:
        shown: the database's address without its password, for messages.
        lock_seconds: how long a statement waits for what somebody else holds.
        schema: where the tables are; None: where the user's ``search_path`` leads.
    """

    def __init__(self, shown: str, lock_seconds: float, schema: str | None = None) -> None:
        self._shown = shown
        settings = {
            **_SETTINGS,
            "idle_in_transaction_session_timeout": duration(IDLE_SECONDS),
            "lock_timeout": duration(lock_seconds),
        }
        if schema is not None:
            settings["search_path"] = quoted(schema)
        self._needed = {**settings, **_FOUND}
        each = [*(_set(name, _constant(value)) for name, value in settings.items()), *map(_current, _FOUND)]
        held = [one == _constant(value) for one, value in zip(each, self._needed.values(), strict=True)]
        # One column for all of them, and no parameter: this statement stands in front of every transaction.
        self._first = select(
            func.clock_timestamp(type_=Moment()),
            func.pg_backend_pid(),
            _current("transaction_read_only"),
            and_(_durable_commit().in_(map(_constant, _DURABLE)), *held),
        )
        self._detail = select(_durable_commit(), *each)

    def begin(self, connection: Connection, *, writes: bool) -> datetime:
        """Set what a transaction needs; returns its moment.

        Raises:
            Unreachable: it is to write, and the server takes no writes.
            Unsuitable: the session cannot be what Redrive needs.
        """
        try:
            return self._begin(connection, writes=writes)
        except Unreachable:
            # A new session may reach another server, or this one when it is right again.
            connection.invalidate()
            raise

    def _begin(self, connection: Connection, *, writes: bool) -> datetime:
        if (version := connection.dialect.server_version_info) is not None and version < OLDEST:
            found = ".".join(map(str, version))
            raise Unsuitable(f"database {self._shown}: is PostgreSQL {found}; Redrive needs {OLDEST[0]} or newer")
        now, pid, read_only, as_needed = connection.execute(self._first).one()
        _prepare_nothing_behind_a_pooler(connection, pid)
        if not as_needed:
            raise Unsuitable(f"database {self._shown}: {self._differing(connection)}")
        if writes and read_only != "off":
            raise Unreachable(f"database {self._shown}: it takes no writes at the moment; {_READ_ONLY}")
        return now  # type: ignore[no-any-return]

    def _differing(self, connection: Connection) -> str:
        commit, *values = connection.execute(self._detail).one()
        found = [] if commit in _DURABLE else [("synchronous_commit", "on", commit)]
        found += [(name, needed, value) for (name, needed), value in zip(self._needed.items(), values, strict=True)]
        name, needed, value = next((each for each in found if each[1] != each[2]), ("a setting", "it", "lost"))
        if name == "server_encoding":
            return not_utf8(value)
        return f"{name} is {value} although Redrive set {needed}; connect without the pooler or proxy in between"


_READ_ONLY = "it is a replica, or default_transaction_read_only is on"


def not_utf8(encoding: str) -> str:
    """Why a database of another encoding cannot be used, and what to do."""
    how = "createdb --encoding=UTF8 --template=template0 --locale=C NAME"
    return f"its encoding is {encoding} and must be UTF8; make another one: {how}"


def through_a_pooler(connection: Connection) -> bool:
    """Whether something stands in between: it answers for a server process that is not the one which works."""
    return _raw(connection).prepare_threshold is None


def _prepare_nothing_behind_a_pooler(connection: Connection, pid: int) -> None:
    """A pooler may give each transaction another session, which knows nothing of statements prepared in the last."""
    raw = _raw(connection)
    if raw.prepare_threshold is not None and raw.info.backend_pid != pid:
        raw.prepare_threshold = None


def _raw(connection: Connection) -> Any:  # noqa: ANN401 - psycopg, which SQLAlchemy imports where it is used
    return connection.connection.dbapi_connection


def _current(name: str) -> ColumnElement[str]:
    return func.current_setting(_constant(name), type_=String())


def _constant(value: str) -> ColumnElement[str]:
    escaped = value.replace("'", "''")
    return literal_column(f"'{escaped}'", String())


def _set(name: str, value: ColumnElement[Any]) -> ColumnElement[str]:
    return func.set_config(_constant(name), value, literal_column("true"), type_=String())


def _durable_commit() -> ColumnElement[str]:
    """A record that was confirmed must survive a crash, whatever the server's default is; more than that may stay."""
    is_more = _current("synchronous_commit") == _constant("remote_apply")
    return _set("synchronous_commit", case((is_more, _constant("remote_apply")), else_=_constant("on")))


_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1))


def duration(seconds: float) -> str:
    """A time as PostgreSQL shows it, so that what is read back can be compared."""
    milliseconds = round(seconds * 1000)
    unit, size = next(each for each in _UNITS if milliseconds % each[1] == 0)
    return f"{milliseconds // size}{unit}" if milliseconds else "0"


def quoted(name: str) -> str:
    """An identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def overridden(url: URL) -> Iterator[str]:
    """What of the address does not hold, in words."""
    for name in sorted((database_address.options(url) | set(url.query)) & WEAKER):
        yield f"{name} of the address does not hold: Redrive sets what its promises rest on; remove it"
