"""Tasks that Redrive itself has set aside, for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, false, select

from ..sql.db import Transaction
from ..sql.one_of import one_of
from ..sql.tables import quarantine, tasks
from ..states import NEVER_CLAIMED, SetAside, Status

MOST_SHOWN = 1000
"""So many are read at most."""

_QUARANTINE = 2
"""The first schema that knows of them."""


# An owner's report or the release before may leave a held one's row behind: it has to be held still.
_task = tasks.alias()
_STANDS = quarantine.c.cause.in_(sorted(cause.value for cause in NEVER_CLAIMED)) | quarantine.c.task_id.in_(
    select(_task.c.id).where(_task.c.status == Status.HELD.value)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSetAside:
    """One of them, and why."""

    id: int
    account: str
    cause: SetAside
    why: str
    since: datetime


def tasks_set_aside(t: Transaction) -> tuple[TaskSetAside, ...]:
    """Tasks that nobody claims, and those that are held because nobody can say what became of them; oldest ids first.

    Their own rows are not read: perhaps they cannot be.
    """
    return _found(t, select(quarantine).where(_STANDS).limit(MOST_SHOWN))


def set_aside_among(t: Transaction, ids: Sequence[int]) -> tuple[TaskSetAside, ...]:
    """The same, of these tasks."""
    return _found(t, select(quarantine).where(_STANDS, one_of(quarantine.c.task_id, ids)))


def is_set_aside(of: FromClause, level: int) -> ColumnElement[bool]:
    """Of a row of ``redrive_tasks``: whether it is one of them."""
    return of.c.id.in_(select(quarantine.c.task_id).where(_STANDS)) if level >= _QUARANTINE else false()


def _found(t: Transaction, statement: Select[Any]) -> tuple[TaskSetAside, ...]:
    if t.level < _QUARANTINE:
        return ()
    return tuple(
        TaskSetAside(id=row.task_id, account=row.account, cause=SetAside(row.cause), why=row.why, since=row.since)
        for row in t.rows(statement.order_by(quarantine.c.task_id))
    )
