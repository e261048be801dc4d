"""Tasks by filter, in pages of ascending ids."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Boolean, ColumnElement, and_, func, literal_column, select

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
        parts: list[ColumnElement[bool]] = [tasks.c.id > 0]
        parts += [column.in_([str(value) for value in values]) for column, values in named.items() if values]
        if self.dead_reasons or (self.statuses and set(self.statuses) <= set(ENDED_STATES)):
            parts.append(literal_column(f"({ENDED})", Boolean()))
        if self.due:
            parts += [literal_column(f"(({RETRY_DUE}) OR ({CHECK_DUE}))", Boolean()), tasks.c.due_at <= now]
        if self.since is not None:
            parts.append(
                tasks.c.status_since >= (now - self.since if isinstance(self.since, timedelta) else self.since)
            )
        return and_(*parts)


def find(t: Transaction, wanted: TaskFilter, *, after: int = 0, limit: int = 50) -> list[Task]:
    """A page of the tasks that match, those with ids above ``after``, the lowest first."""
    statement = select(tasks).where(wanted.where(t.now), tasks.c.id > after).order_by(tasks.c.id).limit(limit)
    return [Task.of(row) for row in t.mappings(statement)]


def page_of_ids(t: Transaction, wanted: TaskFilter, *, after: int = 0, limit: int = 500) -> list[int]:
    """The same, only their ids."""
    statement = select(tasks.c.id).where(wanted.where(t.now), tasks.c.id > after).order_by(tasks.c.id).limit(limit)
    return [row.id for row in t.rows(statement)]


def count(t: Transaction, wanted: TaskFilter) -> int:
    """How many tasks match."""
    found: Any = t.execute(select(func.count()).select_from(tasks).where(wanted.where(t.now))).scalar_one()
    return int(found)


def get(t: Transaction, task_id: int) -> Task | None:
    """One task, or None."""
    row = t.mapping(select(tasks).where(tasks.c.id == task_id))
    return Task.of(row) if row is not None else None


def known_ids(t: Transaction, ids: Iterable[int]) -> set[int]:
    """Those of the ids that exist."""
    return {row.id for row in t.rows(select(tasks.c.id).where(tasks.c.id.in_(sorted(set(ids)))))}
