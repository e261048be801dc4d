"""Tasks by filter, in pages of ascending ids."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Select, and_, func, literal_column, select, text, true, union_all

from ..db import Transaction
from ..states import ENDED_STATES, DeadReason, Status
from ..tables import CHECK_DUE, ENDED, RETRY_DUE, tasks
from ..task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks are meant: all that match every field that is set.

    Attributes:
        due: only those that may be retried or looked at now.
        since: only those whose status changed at or after this moment, or within this time.
    """

    accounts: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    dead_reasons: tuple[DeadReason, ...] = ()
    kinds: tuple[str, ...] = ()
    external_ids: tuple[str, ...] = ()
    due: bool = False
    since: datetime | timedelta | None = None

    def where(self, now: datetime) -> ColumnElement[bool]:
        """The filter in SQL, with the predicates of the partial indexes spelled out where they hold."""
        named = {
            tasks.c.account: self.accounts,
            tasks.c.status: self.statuses,
            tasks.c.dead_reason: self.dead_reasons,
            tasks.c.kind: self.kinds,
            tasks.c.external_id: self.external_ids,
        }
        parts: list[ColumnElement[bool]] = [true()]
        parts += [column.in_([str(value) for value in values]) for column, values in named.items() if values]
        if self.dead_reasons or (self.statuses and set(self.statuses) <= set(ENDED_STATES)):
            parts.append(literal_column(f"({ENDED})", Boolean()))
        if self.due:
            parts.append(tasks.c.id.in_(union_all(*(_due(predicate, now) for predicate in (RETRY_DUE, CHECK_DUE)))))
        if self.since is not None:
            parts.append(
                tasks.c.status_since >= (now - self.since if isinstance(self.since, timedelta) else self.since)
            )
        return and_(*parts)


def _due(predicate: str, now: datetime) -> Select[Any]:
    """The two indexes are asked one after the other: a database may not see that an OR of them needs no other."""
    return select(tasks.c.id).where(text(predicate), tasks.c.due_at <= now)


def find(t: Transaction, wanted: TaskFilter, *, after: int = 0, limit: int = 50) -> list[Task]:
    """A page of the tasks that match, those with ids above ``after``, the lowest first."""
    statement = select(tasks).where(wanted.where(t.now), _beyond(after)).order_by(tasks.c.id).limit(limit)
    return [Task.of(row) for row in t.rows(statement)]


def page_of_ids(t: Transaction, wanted: TaskFilter, *, after: int = 0, limit: int = 500) -> list[int]:
    """The same, only their ids."""
    statement = select(tasks.c.id).where(wanted.where(t.now), _beyond(after)).order_by(tasks.c.id).limit(limit)
    return [row.id for row in t.rows(statement)]


def _beyond(after: int) -> ColumnElement[bool]:
    return tasks.c.id > after if after else true()


def count(t: Transaction, wanted: TaskFilter) -> int:
    """How many tasks match."""
    found: Any = t.execute(select(func.count()).select_from(tasks).where(wanted.where(t.now))).scalar_one()
    return int(found)


def get(t: Transaction, task_id: int) -> Task | None:
    """One task, or None."""
    row = t.execute(select(tasks).where(tasks.c.id == task_id)).one_or_none()
    return Task.of(row) if row is not None else None
