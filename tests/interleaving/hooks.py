"""What stops an actor before each of its statements, and what it may meet there."""

import re
import sqlite3
from collections.abc import Iterable
from typing import Any

import psycopg
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from redrive.models.sql.db import Database
from tests.interleaving.conductor import Actor, At, Stop, current

_TABLE = re.compile(r"redrive_\w+")
_WRITES = ("INSERT", "UPDATE", "DELETE")
LOST, REFUSED = "its answer lost", "not made"


def listen(database: Database) -> None:
    """Stop before every statement and every COMMIT of this database's connections."""
    event.listen(database.engine, "before_cursor_execute", _before)
    event.listen(database.engine, "commit", _commit)
    event.listen(database.engine, "rollback", _rollback)
    event.listen(database.engine, "handle_error", _error)


class Cut(Exception):  # noqa: N818 - an event of the play
    """The connection is lost, because the plan says so."""


def unreachable() -> OperationalError:
    return OperationalError("", {}, Cut())


def _before(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    if (actor := current()) is None:
        return
    if connection.dialect.name == "postgresql":
        raw: Any = connection.connection.dbapi_connection
        actor.pid = raw.info.backend_pid
    words = _words(statement)
    if words != "BEGIN":  # a reader stops at what he reads
        actor.pause(Stop(At.STATEMENT, words))
    actor.wrote = actor.wrote or words.startswith(_WRITES)
    actor.holds = actor.holds or words == "BEGIN IMMEDIATE"


def _words(statement: str) -> str:
    found = " ".join(statement.split())
    if found.startswith("BEGIN"):
        return found
    verb = next(
        iter(re.findall(r"\b(?:UPDATE|INSERT|DELETE)\b(?! SKIP| OF)", found.replace("FOR UPDATE", ""))), "SELECT"
    )
    locking = found[found.find("FOR UPDATE") :] if "FOR UPDATE" in found else ""
    table = next(iter(_TABLE.findall(found)), "")
    return " ".join(part for part in (verb, table, locking) if part)


def _commit(connection: Connection) -> None:
    actor = current()
    if actor is None or connection.get_execution_options().get("redrive_reading"):
        return
    try:
        if actor.wrote or actor.fate:  # to stop at the statement before is the same
            actor.pause(Stop(At.COMMIT, "COMMIT"))
        _meet(actor, connection)
    except BaseException:
        # SQLAlchemy rolls back as it gives the connection back, and tells nobody.
        _rollback(connection)
        raise
    actor.committed = actor.wrote
    _over(actor)


def _meet(actor: Actor, connection: Connection) -> None:
    """What the plan has in store for this COMMIT."""
    fate, actor.fate = actor.fate, ""
    if not fate:
        return
    if fate == LOST:
        raw: Any = connection.connection.dbapi_connection
        raw.commit()
        actor.committed = actor.wrote
    actor.injured = True
    raise unreachable()


def _rollback(_: Connection) -> None:
    if (actor := current()) is not None:
        _over(actor)


def _over(actor: Actor) -> None:
    actor.over, actor.wrote, actor.holds, actor.pid = True, False, False, 0


def _error(context: ExceptionContext) -> None:
    found, actor = context.original_exception, current()
    ours = isinstance(found, psycopg.errors.AdminShutdown) or not isinstance(found, (sqlite3.Error, psycopg.Error))
    if actor is not None and not ours:
        actor.surprise(f"the database refused: {' '.join(str(found).split())[:200]}")


class PostgresLocks:
    """PostgreSQL knows who waits for whom."""

    def __init__(self, monitor: Database) -> None:
        self._connection = monitor.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def waits_for(self, actor: Actor, others: Iterable[Actor]) -> list[Actor]:
        pids = self._connection.execute(text("SELECT pg_blocking_pids(:pid)"), {"pid": actor.pid}).scalar_one()
        return [each for each in others if each.pid in pids and each is not actor and not each.resting]

    def may_go_on(self, _actor: Actor, _others: Iterable[Actor]) -> bool:
        return True

    def free(self, actor: Actor) -> None:
        self._connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": actor.pid})

    def close(self) -> None:
        self._connection.close()


class SqliteLocks:
    """One writer at a time: who would wait for it does not even try."""

    def waits_for(self, _actor: Actor, _others: Iterable[Actor]) -> list[Actor]:
        return []

    def may_go_on(self, actor: Actor, others: Iterable[Actor]) -> bool:
        return actor.stop.words != "BEGIN IMMEDIATE" or not any(each.holds for each in others)

    def free(self, actor: Actor) -> None:
        raise AssertionError(f"{actor} waits for no lock")

    def close(self) -> None:
        pass
