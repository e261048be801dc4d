"""Tasks by filter, in pages of ascending ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Select,
    and_,
    func,
    literal_column,
    select,
    text,
    true,
    union_all,
)

from ..db import Transaction
from ..db_errors import blame, is_row_fault
from ..errors import BadInput
from ..finding import readable
from ..one_of import one_of
from ..states import ENDED_STATES, DeadReason, Status
from ..tables import CHECK_DUE, ENDED, RETRY_DUE, batches, tasks
from ..task import Task
from .moments import moment_of
from .set_aside import is_set_aside


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks are meant: all that match every field that is set.

    Attributes:
        due: only those that may be retried or looked at now.
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

    def where(self, t: Transaction) -> ColumnElement[bool]:
        """The filter in SQL, with the predicates of the partial indexes spelled out where they hold."""
        named = {
            tasks.c.account: self.accounts,
            tasks.c.status: self.statuses,
            tasks.c.dead_reason: self.dead_reasons,
            tasks.c.kind: self.kinds,
            tasks.c.external_id: self.external_ids,
            tasks.c.origin: self.origins,
        }
        parts: list[ColumnElement[bool]] = [true()]
        parts += [column.in_([str(value) for value in values]) for column, values in named.items() if values]
        if self.priorities:
            parts.append(tasks.c.priority.in_(self.priorities))
        if self.ids is not None:
            parts.append(one_of(tasks.c.id, self.ids))
        if self.dead_reasons or (self.statuses and set(self.statuses) <= set(ENDED_STATES)):
            parts.append(literal_column(f"({ENDED})", Boolean()))
        if self.due:
            parts.append(tasks.c.id.in_(union_all(*(_due(predicate, t.now) for predicate in (RETRY_DUE, CHECK_DUE)))))
        if self.since is not None:
            parts.append(tasks.c.status_since >= moment_of(self.since, t.now))
        if self.until is not None:
            parts.append(tasks.c.status_since < moment_of(self.until, t.now))
        if self.set_aside:
            parts.append(is_set_aside(t.level))
        return and_(*parts)


def _due(predicate: str, now: datetime) -> Select[Any]:
    """The two indexes are asked one after the other: a database may not see that an OR of them needs no other."""
    return select(tasks.c.id).where(text(predicate), tasks.c.due_at <= now)


def find(t: Transaction, wanted: TaskFilter, *, after: int = 0, limit: int = 50) -> list[Task]:
    """A page of the tasks that match, those with ids above ``after``, the lowest first.

    One whose row cannot be read is left out: what is set aside says which.
    """
    return readable(t, select(tasks).where(wanted.where(t), _beyond(after)).order_by(tasks.c.id).limit(limit))


def page_of_ids(t: Transaction, wanted: TaskFilter, *, after: int = 0, limit: int = 500) -> list[int]:
    """The same, only their ids."""
    statement = select(tasks.c.id).where(wanted.where(t), _beyond(after)).order_by(tasks.c.id).limit(limit)
    return [row.id for row in t.rows(statement)]


def _beyond(after: int) -> ColumnElement[bool]:
    """As a literal: a prepared statement's general plan does not know how few rows are left, and reads all of them."""
    return tasks.c.id > literal_column(str(int(after)), BigInteger()) if after else true()


def count(t: Transaction, wanted: TaskFilter) -> int:
    """How many tasks match."""
    found: Any = t.execute(select(func.count()).select_from(tasks).where(wanted.where(t))).scalar_one()
    return int(found)


def get(t: Transaction, task_id: int) -> Task | None:
    """One task, or None.

    Raises:
        BadInput: its row cannot be read.
    """
    try:
        row = t.execute(select(tasks).where(tasks.c.id == task_id)).one_or_none()
        return Task.of(row) if row is not None else None
    except Exception as error:
        if not is_row_fault(error):
            raise
        words = f"its row cannot be read ({blame(error)}); mend it by SQL, then redrive release {task_id}"
        raise BadInput(f"task {task_id}: {words}") from None


def ids_of_batches(t: Transaction, wanted: Sequence[UUID]) -> tuple[int, ...]:
    """The tasks that were claimed into these batches, also those that have left them since.

    Raises:
        BadInput: one is not kept.
    """
    found = {row.id: row.task_ids for row in t.rows(select(batches).where(batches.c.id.in_(wanted)))}
    if gone := [batch for batch in wanted if batch not in found]:
        raise BadInput(f"there is no batch {gone[0]}; batches are kept for [retention] batches_days after their end")
    return tuple(sorted({task_id for ids in found.values() for task_id in ids}))
