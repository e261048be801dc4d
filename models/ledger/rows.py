"""Reading tasks under lock and writing them back guarded: the only UPDATE of a task's status."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, select, update

from ..db import Transaction, insert_for
from ..rowset import rowset
from ..tables import attempts, tasks, totals
from ..task import Task

Change = tuple[Task, Task]
"""A task as it was read under lock, and as it shall be."""

MUTABLE = (
    "status", "dead_reason", "next", "due_at", "priority", "attempts", "spent", "errors", "refusals", "max_retries",
    "granted", "batch_id", "wish", "held_from", "trigger", "provider_ref", "seen", "last_error", "failed_at",
    "status_since", "round_at", "params", "origin", "updated_at",
)  # fmt: skip
_GUARD = ("status", "attempts", "spent")


class StaleWriteError(RuntimeError):
    """A task moved although we held its lock: a defect of ours. The transaction must roll back."""


def by_ids(ids: Iterable[int]) -> ColumnElement[bool]:
    """The tasks with these ids."""
    return tasks.c.id.in_(sorted(set(ids)))


def locked(t: Transaction, where: ColumnElement[bool]) -> list[Task]:
    """The tasks that match, locked in id order so that two writers never wait for each other."""
    statement: Select[Any] = select(tasks).where(where).order_by(tasks.c.id).with_for_update()
    return [Task.of(row) for row in t.mappings(statement)]


def store(t: Transaction, changes: Iterable[Change]) -> None:
    """Write every task that changed, in one statement, guarded by what was read.

    Raises:
        StaleWriteError: when a row is not as it was read.
    """
    changed = [(was, replace(now, updated_at=t.now)) for was, now in changes if was != now]
    if not changed:
        return
    rows = [now.row() | {f"{name}_was": getattr(was, name) for name in _GUARD} for was, now in changed]
    r = rowset(t.dialect, rows, tasks, ("id", *MUTABLE, *(f"{name}_was" for name in _GUARD)))
    unmoved = and_(tasks.c.id == r.c.id, *(tasks.c[name] == r.c[f"{name}_was"] for name in _GUARD))
    result = t.execute(update(tasks).where(unmoved).values({name: r.c[name] for name in MUTABLE}))
    if result.rowcount != len(changed):
        raise StaleWriteError(f"{len(changed) - result.rowcount} of {len(changed)} tasks moved under lock")
    count(t, _ends(changed))


def _ends(changed: Sequence[Change]) -> dict[tuple[str, str], int]:
    """How the numbers of ended tasks change: they are counted as they end, never by reading them all."""
    counts: dict[tuple[str, str], int] = {}
    for was, now in changed:
        for task, step in ((was, -1), (now, +1)):
            if name := end_name(task.status, task.dead_reason):
                counts[task.account, name] = counts.get((task.account, name), 0) + step
    return counts


def end_name(status: str, dead_reason: str | None) -> str:
    """The total an ended task is counted in ('' for an unfinished one)."""
    if dead_reason:
        return f"dead:{dead_reason}"
    return "succeeded" if status == "succeeded" else ""


def count(t: Transaction, steps: Mapping[tuple[str, str], int]) -> None:
    """Move totals, keyed by account and name, in one statement and in one order."""
    rows = [{"account": a, "name": n, "value": step} for (a, n), step in sorted(steps.items()) if step]
    if not rows:
        return
    statement = insert_for(t)(totals).values(rows)
    moved = {"value": totals.c.value + statement.excluded.value}
    t.execute(statement.on_conflict_do_update(index_elements=["account", "name"], set_=moved))


def open_attempts(t: Transaction, ids: Iterable[int], *, batch_id: UUID | None = None) -> dict[int, int]:
    """Task id → number of its open attempt, for those that have one (in this batch, where one is named)."""
    where = and_(attempts.c.task_id.in_(sorted(set(ids))), attempts.c.closed_at.is_(None))
    if batch_id is not None:
        where = and_(where, attempts.c.batch_id == batch_id)
    rows = t.rows(select(attempts.c.task_id, attempts.c.number).where(where))
    return {row.task_id: row.number for row in rows}
