"""Tasks that Redrive itself has set aside, for people."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from ..db import Transaction
from ..states import NEVER_CLAIMED, SetAside, Status
from ..tables import quarantine, tasks

MOST_SHOWN = 1000
"""So many are read at most."""

_QUARANTINE = 2
"""The first schema that knows of them."""


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

    Of a held one, an owner's report or the release before may leave a row behind: it has to be held still.
    """
    if t.level < _QUARANTINE:
        return ()
    held = quarantine.c.task_id.in_(select(tasks.c.id).where(tasks.c.status == Status.HELD.value))
    never_claimed = quarantine.c.cause.in_(sorted(cause.value for cause in NEVER_CLAIMED))
    found = select(quarantine).where(never_claimed | held).order_by(quarantine.c.task_id).limit(MOST_SHOWN)
    return tuple(
        TaskSetAside(id=row.task_id, account=row.account, cause=SetAside(row.cause), why=row.why, since=row.since)
        for row in t.rows(found)
    )
