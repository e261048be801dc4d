"""One task with everything that is recorded about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from ..sql.db import Transaction
from ..sql.tables import actions, archives, attempts, columns
from ..task import Task
from .tasks import get


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call about a task; ``outcome`` is None while its answer is not recorded.

    Attributes:
        cause: the failure that it answered; None where that had no code yet.
        result: what became of the run it started, and ``settled_at`` when that was known.
    """

    number: int
    trigger: str
    batch_id: UUID
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None
    spent: bool
    cause: str | None
    http_status: int | None
    provider_code: str
    message: str
    provider_ref: str
    result: str
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What somebody did to a task on purpose."""

    at: datetime
    who: str
    what: str
    why: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A provider's result, kept before a retry overwrote it; ``number``: of the attempt it was the result of."""

    number: int
    saved_at: datetime
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class History:
    """A task, its attempts, what people did, and the results that were kept: each the oldest first."""

    task: Task
    attempts: tuple[Attempt, ...]
    actions: tuple[Action, ...]
    archives: tuple[Archive, ...]


def history(t: Transaction, task_id: int) -> History | None:
    """A task with its record, or None when there is no such task."""
    task = get(t, task_id)
    if task is None:
        return None
    return History(task, _attempts(t, task_id), _actions(t, task_id), _archives(t, task_id))


def _attempts(t: Transaction, task_id: int) -> tuple[Attempt, ...]:
    there = {column.name: column for column in columns(attempts, t.level)}
    mine = select(*(there[name] for name in Attempt.__slots__)).where(attempts.c.task_id == task_id)
    return tuple(Attempt(**row) for row in t.mappings(mine.order_by(attempts.c.number)))


def _actions(t: Transaction, task_id: int) -> tuple[Action, ...]:
    wanted = [actions.c[name] for name in Action.__slots__]
    statement = select(*wanted).where(actions.c.task_id == task_id).order_by(actions.c.id)
    return tuple(Action(**row) for row in t.mappings(statement))


def _archives(t: Transaction, task_id: int) -> tuple[Archive, ...]:
    wanted = [archives.c[name] for name in Archive.__slots__]
    statement = select(*wanted).where(archives.c.task_id == task_id).order_by(archives.c.number)
    return tuple(Archive(**row) for row in t.mappings(statement))
