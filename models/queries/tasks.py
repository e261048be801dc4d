"""Tasks by filter, in pages of ascending ids."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    and_,
    literal_column,
    or_,
    select,
    text,
    true,
    union_all,
)

from ..errors import BadInput
from ..sql.db import Transaction
from ..sql.db_errors import blame, is_row_fault
from ..sql.one_of import one_of
from ..sql.tables import CHECK_DUE, ENDED, RETRY_DUE, batches, columns, tasks
from ..states import ENDED_STATES, DeadReason, Status
from ..task import Task
from .moments import moment_of
from .set_aside import is_set_aside

FETCHED_AT_ONCE = 10_000
"""Rows of a long answer that are held at a time."""


# Each has an index of its own; no task is in both.
_DUE = (RETRY_DUE, CHECK_DUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks are meant: all that match every field that is set.

    Attributes:
        due: only those that may be retried or checked now.
        since: only those whose status changed at or after this moment, or within this time; ``until``: before it.
        ids: only these; None: any.
        set_aside: only those that Redrive itself has set aside.
    """

    accounts: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    dead_reasons: tuple[DeadReason, ...] = ()
    kinds: tuple[str, ...] = ()
    external_ids: tuple[str, ...] = ()
    due: bool = False
    since: datetime | timedelta | None = None
    until: datetime | timedelta | None = None
    origins: tuple[str, ...] = ()
    priorities: tuple[int, ...] = ()
    ids: tuple[int, ...] | None = None
    set_aside: bool = False

    def where(self, t: Transaction, of: FromClause = tasks) -> ColumnElement[bool]:
        """What each of them says of a row, except ``due``, with the predicates of partial indexes spelled out."""
        named = {
            of.c.account: self.accounts,
            of.c.status: self.statuses,
            of.c.dead_reason: self.dead_reasons,
            of.c.kind: self.kinds,
            of.c.external_id: self.external_ids,
            of.c.origin: self.origins,
        }
        parts: list[ColumnElement[bool]] = [true()]
        parts += [column.in_([str(value) for value in values]) for column, values in named.items() if values]
        if self.priorities:
            parts.append(of.c.priority.in_(self.priorities))
        if self.ids is not None:
            parts.append(one_of(of.c.id, self.ids))
        if self.dead_reasons or (self.statuses and set(self.statuses) <= set(ENDED_STATES)):
            parts.append(and_(true(), text(ENDED)))  # as a Boolean, SQLite would compare it with 1 and not know it
        if self.since is not None:
            parts.append(of.c.status_since >= moment_of(self.since, t.now))
        if self.until is not None:
            parts.append(of.c.status_since < moment_of(self.until, t.now))
        if self.set_aside:
            parts.append(is_set_aside(of, t.level))
        return and_(*parts)


def find(t: Transaction, wanted: TaskFilter, *, after: int = 0, limit: int = 50) -> list[Task]:
    """A page of the tasks that match, those with ids above ``after``, the lowest first.

    One whose row cannot be read is left out: what is set aside says which.
    """
    return by_ids(t, page_of_ids(t, wanted, after=after, limit=limit))


def page_of_ids(t: Transaction, wanted: TaskFilter, *, after: int = 0, limit: int = 50) -> list[int]:
    """The same, only their ids, those of unreadable rows too."""
    if wanted.due:
        statement = _sorted(_ids(t, wanted, _beyond(after)))
    else:
        statement = select(tasks.c.id).where(wanted.where(t), _beyond(after)).order_by(tasks.c.id)
    return [row.id for row in t.rows(statement.limit(_literal(limit)))]


def all_ids(t: Transaction, wanted: TaskFilter) -> Sequence[int]:
    """The ids of all tasks that match, the lowest first: five million of them take 40 MB.

    They are found once. Page by page, each page would be a search of its own, and one that sorts all that is left
    where the database cannot know how few are wanted.
    """
    statement = _sorted(_ids(t, wanted)).execution_options(yield_per=FETCHED_AT_ONCE)
    return array("q", t.execute(statement).scalars())


def still_matching(t: Transaction, wanted: TaskFilter, ids: Sequence[int]) -> list[int]:
    """Those of these tasks that match by now, the lowest id first."""
    # Without an offset, whatever it is, the database may find all that match first, and then these among them.
    mine = select(*columns(tasks, t.level)).where(one_of(tasks.c.id, ids)).offset(0).subquery()
    due = or_(*(_due(predicate, mine, t.now) for predicate in _DUE)) if wanted.due else true()
    return sorted(row.id for row in t.rows(select(mine.c.id).where(wanted.where(t, mine), due)))


def _ids(t: Transaction, wanted: TaskFilter, *more: ColumnElement[bool]) -> Select[Any] | CompoundSelect[Any]:
    """The ids of the tasks that match, in no order.

    Of the two indexes of what is due each is asked for itself: a database may not see that an OR of them needs no
    other. No task is in both.
    """
    mine = select(tasks.c.id).where(wanted.where(t), *more)
    return union_all(*(mine.where(_due(predicate, tasks, t.now)) for predicate in _DUE)) if wanted.due else mine


def _sorted(ids: Select[Any] | CompoundSelect[Any]) -> Select[Any]:
    """The ids in their order, found first and sorted then.

    By the ids themselves, a database walks over the whole table in their order when it believes that many match.
    """
    found = ids.subquery()
    return select(found.c.id).order_by(found.c.id + 0)


def _due(predicate: str, of: FromClause, now: datetime) -> ColumnElement[bool]:
    return and_(text(predicate), of.c.due_at <= now)


def _beyond(after: int) -> ColumnElement[bool]:
    return tasks.c.id > _literal(after) if after else true()


def _literal(number: int) -> ColumnElement[int]:
    """As a literal: the general plan of a prepared statement does not know how few rows are meant, and reads all."""
    return literal_column(str(int(number)), BigInteger())


def get(t: Transaction, task_id: int) -> Task | None:
    """One task, or None.

    Raises:
        BadInput: its row cannot be read.
    """
    try:
        row = t.execute(select(*columns(tasks, t.level)).where(tasks.c.id == task_id)).one_or_none()
        return Task.of(row) if row is not None else None
    except Exception as error:
        if not is_row_fault(error):
            raise
        words = f"its row cannot be read ({blame(error)}); fix it by SQL, then redrive release {task_id}"
        raise BadInput(f"task {task_id}: {words}") from None


def by_ids(t: Transaction, wanted: Iterable[int]) -> list[Task]:
    """The tasks with these ids, in id order; those that do not exist, or whose row cannot be read, are left out."""
    return _readable(t, select(*columns(tasks, t.level)).where(one_of(tasks.c.id, wanted)).order_by(tasks.c.id))


def _readable(t: Transaction, found: Select[Any]) -> list[Task]:
    """The tasks of a query over whole rows, in its order, without those whose row cannot be read."""
    try:
        return [Task.of(row) for row in t.rows(found)]
    except Exception as error:
        if not is_row_fault(error):
            raise
    ids = [row.id for row in t.rows(found.with_only_columns(tasks.c.id))]
    return [task for each in ids for task in _readable_one(t, each)]


def _readable_one(t: Transaction, task_id: int) -> list[Task]:
    try:
        return [Task.of(row) for row in t.rows(select(*columns(tasks, t.level)).where(tasks.c.id == task_id))]
    except Exception as error:
        if not is_row_fault(error):
            raise
        return []


def ids_by_identity(t: Transaction, account: str, kind: str, external_id: str, sub_id: str) -> list[int]:
    """The id of the one task with this identity, or none."""
    identity = (tasks.c.account, tasks.c.kind, tasks.c.external_id, tasks.c.sub_id)
    same = (column == value for column, value in zip(identity, (account, kind, external_id, sub_id), strict=True))
    return [row.id for row in t.rows(select(tasks.c.id).where(*same))]


def ids_of_batches(t: Transaction, wanted: Sequence[UUID]) -> tuple[int, ...]:
    """The tasks that were claimed into these batches, also those that have left them since.

    Raises:
        BadInput: one is not kept.
    """
    found = {row.id: row.task_ids for row in t.rows(select(batches).where(batches.c.id.in_(wanted)))}
    if gone := [batch for batch in wanted if batch not in found]:
        raise BadInput(f"there is no batch {gone[0]}; batches are kept for [retention] batches_days after their end")
    return tuple(sorted({task_id for ids in found.values() for task_id in ids}))
