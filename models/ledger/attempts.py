"""Opening and closing attempts: the record that comes before every call, and what came of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import and_, insert, select, update

from ..lifecycle.answers import SPENT
from ..outcome import Accepted, Outcome
from ..sql.db import Transaction
from ..sql.rowset import rowset
from ..sql.tables import attempts, is_there
from ..task import Task
from .totals import Steps

_OPENED = ("task_id", "number", "batch_id", "trigger", "opened_at", "cause")
_CLOSED = ("outcome", "spent", "http_status", "provider_code", "message", "provider_ref")


@dataclass(frozen=True, slots=True)
class Key:
    """One attempt."""

    task_id: int
    number: int


def of(t: Transaction, task_id: int) -> dict[int, bool]:
    """A task's attempts: number → whether it counts."""
    rows = t.rows(select(attempts.c.number, attempts.c.spent).where(attempts.c.task_id == task_id))
    return {row.number: row.spent for row in rows}


@dataclass(frozen=True, slots=True)
class Closing:
    """What an open attempt of a batch is closed with."""

    account: str
    batch_id: UUID
    outcome: Outcome


def open_attempts(t: Transaction, tasks: Iterable[Task]) -> None:
    """Open the next attempt of each task, for the batch it is in. The schema refuses a second open one."""
    rows = [
        {
            "task_id": x.id, "number": x.attempts, "batch_id": x.batch_id, "trigger": x.trigger, "opened_at": t.now,
            "cause": x.failure,
        }
        for x in tasks
    ]  # fmt: skip
    if not rows:
        return
    names = [name for name in _OPENED if is_there(attempts.c[name], t.level)]
    r = rowset(t.dialect, rows, attempts, names)
    t.execute(insert(attempts).from_select(names, select(*(r[name] for name in names))))


def close_attempts(t: Transaction, closings: Mapping[Key, Closing]) -> Steps:
    """Close open attempts with what came of them; returns how totals move."""
    if not closings:
        return Steps()
    rows = [
        {"task_id": key.task_id, "number": key.number, "batch_id": each.batch_id} | _columns(each.outcome)
        for key, each in closings.items()
    ]
    r = rowset(t.dialect, rows, attempts, ("task_id", "number", "batch_id", *_CLOSED))
    mine = and_(
        attempts.c.task_id == r["task_id"],
        attempts.c.number == r["number"],
        attempts.c.batch_id == r["batch_id"],
        attempts.c.closed_at.is_(None),
    )
    t.execute(update(attempts).where(mine).values({n: r[n] for n in _CLOSED} | {"closed_at": t.now}))
    steps = Steps()
    for each in closings.values():
        steps[each.account, "attempts"] += 1
        steps[each.account, f"outcome:{each.outcome.name}"] += 1
        steps[each.account, "spent"] += isinstance(each.outcome, SPENT)
    return steps


def _columns(outcome: Outcome) -> dict[str, Any]:
    return {
        "outcome": outcome.name,
        "spent": isinstance(outcome, SPENT),
        "http_status": outcome.http_status,
        "provider_code": outcome.code[:64],
        "message": outcome.message,
        "provider_ref": outcome.ref[:255] if isinstance(outcome, Accepted) else "",
    }


def settle_attempts(t: Transaction, results: Mapping[Key, str]) -> None:
    """Write what became of attempts whose task was followed to an end of that run."""
    if not results:
        return
    rows = [{"task_id": key.task_id, "number": key.number, "result": result} for key, result in results.items()]
    r = rowset(t.dialect, rows, attempts, ("task_id", "number", "result"))
    mine = and_(
        attempts.c.task_id == r["task_id"],
        attempts.c.number == r["number"],
        attempts.c.settled_at.is_(None),
        attempts.c.closed_at.is_not(None),
    )
    t.execute(update(attempts).where(mine).values(result=r["result"], settled_at=t.now))
