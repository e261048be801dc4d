"""Holds that nobody asked for: an answer or a check has made a task held, and Redrive remembers why.

People ask, and policies change: a task that ``on_unknown`` has held goes on by itself once that says to retry.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, and_, delete, exists, func, select, text

from .. import lifecycle
from ..outcome import Unknown
from ..sql.db import Transaction
from ..sql.one_of import one_of
from ..sql.tables import RESTING, actions, attempts, quarantine, tasks
from ..states import NEVER_CLAIMED, SetAside, Status
from ..task import Task
from .quarantine import LEVEL, Odd, note

HOLDS_AT_ONCE = 500

_HELD = and_(text(f"({RESTING})"), tasks.c.status == Status.HELD.value)
"""Of a task, in the words of the partial index."""


def note_holds(t: Transaction, changes: Iterable[tuple[Task, Task]]) -> None:
    """Remember of tasks that are held now, and by no operator, why."""
    causes = [(now, lifecycle.set_aside(was, now)) for was, now in changes]
    note(t, [Odd(now.id, now.account, cause, now.last_error) for now, cause in causes if cause is not None])


# An owner's report, or the release before, moves a task and leaves its row here.
_HELD_AS_UNKNOWN = and_(
    quarantine.c.cause == SetAside.UNKNOWN.value,
    exists().where(tasks.c.id == quarantine.c.task_id, tasks.c.status == Status.HELD.value),
)


def held_as_unknown(t: Transaction, account: str, limit: int) -> list[int]:
    """Tasks of an account that are set aside because nobody knows whether their retry ran."""
    if t.level < LEVEL:
        return []
    mine = select(quarantine.c.task_id).where(quarantine.c.account == account, _HELD_AS_UNKNOWN)
    return [row.task_id for row in t.rows(mine.limit(limit))]


def unknown_accounts(t: Transaction, names: Iterable[str]) -> list[str]:
    """The accounts among these that have such tasks."""
    if t.level < LEVEL:
        return []
    theirs = select(quarantine.c.account).where(one_of(quarantine.c.account, names), _HELD_AS_UNKNOWN)
    return sorted(row.account for row in t.rows(theirs.distinct()))


def adopt_holds(t: Transaction, accounts: Iterable[str]) -> int:
    """Remember the cause of a page of what the release before has held; returns for how many tasks.

    That release leaves no row behind, and may still run beside this one.
    """
    return _adopt(t, one_of(tasks.c.account, accounts), HOLDS_AT_ONCE)


def _adopt(t: Transaction, which: ColumnElement[bool], limit: int) -> int:
    """Such a task was last answered with ``unknown``, and the last that anybody did to it was not a hold."""
    if t.level < LEVEL:
        return 0
    done = select(actions.c.what).where(actions.c.task_id == tasks.c.id).order_by(actions.c.id.desc()).limit(1)
    last = and_(attempts.c.task_id == tasks.c.id, attempts.c.number == tasks.c.attempts)
    found = select(tasks.c.id, tasks.c.account, tasks.c.last_error).where(
        _HELD,
        which,
        ~exists().where(quarantine.c.task_id == tasks.c.id),
        exists().where(last, attempts.c.outcome == Unknown.name),
        func.coalesce(done.scalar_subquery(), "") != "hold",
    )
    odd = [Odd(row.id, row.account, SetAside.UNKNOWN, row.last_error) for row in t.rows(found.limit(limit))]
    note(t, odd)
    return len(odd)


def taken_over(t: Transaction, ids: Sequence[int]) -> frozenset[int]:
    """Somebody holds these tasks, so that no policy releases them any more. Returns those that only Redrive held."""
    if t.level < LEVEL or not ids:
        return frozenset()
    _adopt(t, one_of(tasks.c.id, ids), len(ids))
    ours = and_(one_of(quarantine.c.task_id, ids), quarantine.c.cause.not_in(sorted(x.value for x in NEVER_CLAIMED)))
    return frozenset(row.task_id for row in t.execute(delete(quarantine).where(ours).returning(quarantine.c.task_id)))
