"""Tasks that Redrive itself has set aside: their row cannot be read or written, or their provider does not know them.

A row of a table of its own says so, because the task's own row may refuse every update. Claims and checks leave them
out before they count; an operator releases them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, exists, select, true, update

from ..outcome import Unknown
from ..sql.db import Transaction, insert_for
from ..sql.one_of import one_of
from ..sql.tables import attempts, quarantine, tasks
from ..states import NEVER_CLAIMED, SetAside
from .totals import Steps, count

LEVEL = 2
"""The first schema that has it."""

WORDS = "set aside while its call may have been under way"

_NEVER_CLAIMED = sorted(cause.value for cause in NEVER_CLAIMED)


@dataclass(frozen=True, slots=True)
class Odd:
    """A task that is set aside, or is to be, and why."""

    task_id: int
    account: str
    cause: SetAside
    why: str


def not_set_aside(level: int) -> ColumnElement[bool]:
    """Of a row of ``redrive_tasks``: whether it may be claimed."""
    if level < LEVEL:
        return true()
    return ~exists().where(quarantine.c.task_id == tasks.c.id, quarantine.c.cause.in_(_NEVER_CLAIMED))


def set_aside(t: Transaction, odd: Sequence[Odd]) -> None:
    """Set tasks aside. An open attempt of theirs is closed as unknown and counts: its call may have left."""
    if odd and t.level >= LEVEL:
        note(t, odd)
        _close_attempts(t, {x.task_id: x.account for x in odd})


def note(t: Transaction, odd: Sequence[Odd]) -> None:
    """Write down why tasks are set aside, or are from now on."""
    if not odd or t.level < LEVEL:
        return
    rows = [
        {"task_id": x.task_id, "account": x.account[:64], "cause": x.cause.value, "why": x.why[:1000], "since": t.now}
        for x in odd
    ]
    statement = insert_for(t)(quarantine).values(rows)
    fresh = {name: statement.excluded[name] for name in ("cause", "why", "since")}
    t.connection.execute(statement.on_conflict_do_update(index_elements=["task_id"], set_=fresh))


def _close_attempts(t: Transaction, accounts: Mapping[int, str]) -> None:
    open_ones = and_(one_of(attempts.c.task_id, accounts), attempts.c.closed_at.is_(None))
    closed = {"outcome": Unknown.name, "spent": True, "closed_at": t.now, "message": WORDS}
    rows = t.execute(update(attempts).where(open_ones).values(closed).returning(attempts.c.task_id)).all()
    steps = Steps()
    for row in rows:
        for name in ("attempts", "spent", f"outcome:{Unknown.name}"):
            steps[accounts[row.task_id], name] += 1
    count(t, steps)


def among(t: Transaction, ids: Sequence[int]) -> dict[int, Odd]:
    """Those of the tasks that are set aside, by their ids."""
    if t.level < LEVEL:
        return {}
    rows = t.rows(select(quarantine).where(one_of(quarantine.c.task_id, ids)))
    return {row.task_id: Odd(row.task_id, row.account, SetAside(row.cause), row.why) for row in rows}


def forget(t: Transaction, ids: Sequence[int]) -> None:
    """The tasks are gone, or released."""
    if t.level >= LEVEL and ids:
        t.execute(delete(quarantine).where(one_of(quarantine.c.task_id, ids)))
