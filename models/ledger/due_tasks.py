"""Picking due tasks: locked as they are picked, the urgent first, never what is set aside."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    literal_column,
    select,
    text,
    union_all,
)

from ..rules import Rules
from ..sql.db import Transaction
from ..sql.one_of import listed, one_of_named
from ..sql.tables import CHECK_DUE, RETRY_DUE, columns, tasks
from ..states import FAILED_STATES, Operation
from ..task import Task
from .quarantine import not_set_aside
from .room import Room
from .rows import by_ids

RESTS = text("status = 'canceled' AND due_at IS NULL")
"""Of a task: it rests by the policy of the day on which it was canceled."""

PROBE_CHOICE = 100
"""A probe is the least spent of so many due tasks, so that one poisoned task does not keep a breaker open."""


# What the statements below are bound to: built once, planned once by the database.
_WANTED = bindparam("wanted", type_=Integer())
_OF_KINDS = tasks.c.kind.in_(bindparam("kinds", expanding=True))
_ONLY = one_of_named(tasks.c.id, "only")


def due_ids(t: Transaction, rules: Rules, operation: Operation) -> list[int]:
    """The ids, and nothing else, of the tasks that the next claim reads: for when one of them cannot be read."""
    wanted = max(rules.batch_size, PROBE_CHOICE)
    due = (tasks.c.account == rules.account, tasks.c.due_at <= t.now, not_set_aside(t.level))
    if operation is Operation.CHECK:
        first = select(tasks.c.id).where(text(CHECK_DUE), *due).order_by(tasks.c.due_at)
    else:
        first = select(tasks.c.id).where(text(RETRY_DUE), *due).order_by(tasks.c.priority.desc(), tasks.c.due_at)
    return [row.id for row in t.rows(first.limit(wanted))]


@cache
def _due_retries_of(level: int, *, of_kinds: bool, only: bool) -> Select[Any]:
    """Locked as they are picked: rows that a host holds must not stand before those behind them."""
    more = [not_set_aside(level), *([_OF_KINDS] if of_kinds else []), *([_ONLY] if only else [])]
    first = union_all(*(_of_priority(level, priority, more).subquery().select() for priority in (1, 0, -1))).subquery()
    return select(first).order_by(first.c.priority.desc(), first.c.due_at, first.c.id).limit(_WANTED)


def _of_priority(level: int, priority: int, more: Sequence[ColumnElement[bool]]) -> Select[Any]:
    where: ColumnElement[bool] = and_(
        tasks.c.account == bindparam("account"),
        text(RETRY_DUE),
        tasks.c.priority == literal_column(str(priority)),
        tasks.c.due_at <= bindparam("now"),
        *more,
    )
    # By nothing that the index does not end with: all that became due in one moment would be read and sorted.
    chosen = select(*columns(tasks, level)).where(where).order_by(tasks.c.due_at).limit(_WANTED)
    return chosen.with_for_update(key_share=True, skip_locked=True)


def due_retries(t: Transaction, rules: Rules, room: Room, only: Collection[int] | None) -> list[Task]:
    """Due tasks, the urgent first. One index range per priority: a single range would read all that is not due."""
    of_kinds = len(room.kinds) < len(rules.capabilities.kinds)
    values: dict[str, Any] = {"account": rules.account, "now": t.now}
    values["wanted"] = PROBE_CHOICE if room.probe else room.tasks
    values |= {"kinds": room.kinds} if of_kinds else {}
    values |= {"only": listed(only)} if only is not None else {}
    rows = t.rows(_due_retries_of(t.level, of_kinds=of_kinds, only=only is not None), **values)
    # Asked again of the locked row, which somebody may have moved since. Not in SQL: with statistics from when the
    # table was small, PostgreSQL would read all that is due to find these few.
    due = [task for row in rows if _retry_due(task := Task.of(row), t.now)]
    if not room.probe:
        return sorted(due, key=lambda task: task.id)  # of those that exclude each other the oldest goes first
    # None of those that opened the breaker, as long as there is another.
    return sorted(due, key=lambda task: (task.id in room.suspects, task.spent, task.id))[:1]


def _retry_due(task: Task, now: datetime) -> bool:
    """What ``RETRY_DUE`` says in SQL, and that its moment has come."""
    waits = task.next is Operation.RETRY and task.status in FAILED_STATES
    return waits and task.due_at is not None and task.due_at <= now


def due_checks(
    t: Transaction, rules: Rules, kinds: Collection[str], limit: int, only: Collection[int] | None
) -> list[Task]:
    """Tasks whose next turn is a check, the longest due first."""
    where: ColumnElement[bool] = and_(
        tasks.c.account == rules.account, text(CHECK_DUE), tasks.c.due_at <= t.now, not_set_aside(t.level)
    )
    if len(kinds) < len(rules.capabilities.kinds):
        where = and_(where, tasks.c.kind.in_(kinds))
    if only is not None:
        where = and_(where, by_ids(only))
    chosen = select(*columns(tasks, t.level)).where(where).order_by(tasks.c.due_at).limit(limit)
    return [Task.of(row) for row in t.rows(chosen.with_for_update(key_share=True, skip_locked=True))]


def resting_ones(t: Transaction, rules: Rules, room: Room) -> list[Task]:
    """Canceled tasks that rest, for an account whose policy retries what was canceled by now."""
    mine = (
        select(*columns(tasks, t.level))
        .where(tasks.c.account == rules.account, RESTS, not_set_aside(t.level))
        .limit(room.tasks)
    )
    return [Task.of(row) for row in t.rows(mine.with_for_update(key_share=True, skip_locked=True))]
