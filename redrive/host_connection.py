"""The ``connection=`` of a host: an SQLAlchemy connection of its transaction, or what leads to one."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from redrive.models.errors import BadInput, DatabaseError, RedriveError
from redrive.models.sql.db_errors import meaning, words

_DIALECTS = ("postgresql", "sqlite")


def connection_of(given: object) -> Connection:
    """The connection; a session's is the one its transaction is on.

    Raises:
        BadInput: it is something else; the message says what to hand in.
    """
    connection = given if isinstance(given, Connection) else _of_session(given)
    if connection is None:
        raise BadInput(f"connection: is {_article(type(given).__name__)}; {_remedy(given)}")
    if connection.closed:
        raise BadInput("connection: is closed; hand in one whose transaction is open")
    if connection.dialect.name not in _DIALECTS:
        raise BadInput(f"connection: leads to {connection.dialect.name}; it must lead to the database of Redrive")
    return connection


@contextmanager
def saying_unusable() -> Iterator[None]:
    """Turn what goes wrong on the host's own connection into errors of ours, which name it and not our database."""
    try:
        yield
    except DBAPIError as error:
        raise _said_by_the_database(error) from error
    except SQLAlchemyError as error:
        raise BadInput(f"connection: cannot be used: {error}") from error


def _said_by_the_database(error: DBAPIError) -> RedriveError:
    said = f"connection: {words(error)}"
    if _no_such_table(error.orig):
        return BadInput(f"{said}; it must lead to the database of Redrive, with its tables in the search path")
    return meaning(error, "connection") or DatabaseError(said)


def _no_such_table(error: object) -> bool:
    """PostgreSQL's drivers name its code differently; SQLite has words only."""
    codes = (getattr(error, "sqlstate", None), getattr(error, "pgcode", None))
    return "42P01" in codes or "no such table" in str(error)


def _of_session(given: object) -> Connection | None:
    from sqlalchemy.orm import Session, scoped_session  # noqa: PLC0415 - hosts that use it have loaded it

    return given.connection() if isinstance(given, Session | scoped_session) else None


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def _remedy(given: object) -> str:
    if isinstance(given, Engine):
        return "hand in a connection of it: with engine.begin() as connection"
    module = type(given).__module__
    if module.startswith("sqlalchemy.ext.asyncio"):
        return "hand in what its run_sync() gives: await it.run_sync(lambda sync: client.add(…, connection=sync))"
    if module.startswith("django."):
        return "docs/client.md shows how to add within a transaction of Django"
    return (
        "it must be an SQLAlchemy Connection or Session; docs/client.md shows how programs without SQLAlchemy add tasks"
    )
