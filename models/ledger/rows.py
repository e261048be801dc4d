"""Reading tasks under lock and writing them back guarded: the only UPDATE of a task's status."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, select, update

from ..db import Transaction, insert_for
from ..one_of import listed, one_of, one_of_named
from ..rowset import rowset
from ..tables import attempts, tasks, totals
from ..task import COLUMNS, Task, values_of

Change = tuple[Task, Task]
"""A task as it was read under lock, and as it shall be."""

Steps = Counter[tuple[str, str]]
"""How totals move, by account and name."""

_GUARD = ("status", "attempts", "spent")
_GUARD_WAS = tuple(f"{name}_was" for name in _GUARD)


class StaleWriteError(RuntimeError):
    """A task moved although we held its lock: a defect of ours. The transaction must roll back."""


def by_ids(ids: Iterable[int]) -> ColumnElement[bool]:
    """The tasks with these ids."""
    return one_of(tasks.c.id, ids)


_BY_IDS = select(tasks).where(one_of_named(tasks.c.id, "ids")).order_by(tasks.c.id).with_for_update()


def locked_by_ids(t: Transaction, ids: Iterable[int]) -> list[Task]:
    """The tasks with these ids, locked as :func:`locked` does."""
    return [Task.of(row) for row in t.rows(_BY_IDS, ids=listed(ids))]


def locked(t: Transaction, where: ColumnElement[bool]) -> list[Task]:
    """The tasks that match, locked in id order so that two writers never wait for each other."""
    statement: Select[Any] = select(tasks).where(where).order_by(tasks.c.id).with_for_update()
    return [Task.of(row) for row in t.rows(statement)]


def store(t: Transaction, changes: Iterable[Change]) -> None:
    """Write every task that changed, in one statement, guarded by what was read.

    Raises:
        StaleWriteError: when a row is not as it was read.
    """
    count(t, write(t, changes))


def write(t: Transaction, changes: Iterable[Change]) -> Steps:
    """:func:`store` for who counts more than this: returns how the totals of ended tasks move."""
    changed = [(was, now) for was, now in changes if was != now]
    if not changed:
        return Steps()
    moved = _moved(changed)
    rows = [_row(was, now, moved) for was, now in changed]
    r = rowset(t.dialect, rows, tasks, ("id", *moved, *_GUARD_WAS), keyed=False)
    # By their ids, said as plainly as can be: with old statistics PostgreSQL takes the guard for the better way in, and
    # reads the whole table by it.
    mine = and_(by_ids(was.id for was, _ in changed), *([tasks.c.id == r["id"]] if "id" in r else []))
    unmoved = and_(mine, *(tasks.c[name] == r[f"{name}_was"] for name in _GUARD))
    values = {name: r[name] for name in moved} | {"updated_at": t.now}
    result = t.execute(update(tasks).where(unmoved).values(values))
    if result.rowcount != len(changed):
        raise StaleWriteError(f"{len(changed) - result.rowcount} of {len(changed)} tasks moved under lock")
    return _ends(changed)


def _moved(changed: Sequence[Change]) -> list[str]:
    """The columns that differ in any of the tasks: what stays is not written, and its indexes are left alone."""
    before, after = (zip(*(values_of(change[i]) for change in changed), strict=True) for i in (0, 1))
    return [name for name, was, now in zip(COLUMNS, before, after, strict=True) if was != now]


def _row(was: Task, now: Task, moved: Sequence[str]) -> dict[str, Any]:
    row = {"id": was.id} | {name: getattr(now, name) for name in moved}
    if (seen := row.get("seen")) is not None:
        row["seen"] = asdict(seen)
    return row | {"status_was": was.status, "attempts_was": was.attempts, "spent_was": was.spent}


def _ends(changed: Sequence[Change]) -> Steps:
    """How the numbers of ended tasks change: they are counted as they end, never by reading them all."""
    steps = Steps()
    for was, now in changed:
        for task, step in ((was, -1), (now, +1)):
            if name := end_name(task.status, task.dead_reason):
                steps[task.account, name] += step
    return steps


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


_OPEN = select(attempts.c.task_id, attempts.c.number).where(
    one_of_named(attempts.c.task_id, "ids"), attempts.c.closed_at.is_(None)
)
_OPEN_HERE = _OPEN.where(attempts.c.batch_id == bindparam("batch"))


def open_attempts(t: Transaction, ids: Iterable[int], *, batch_id: UUID | None = None) -> dict[int, int]:
    """Task id → number of its open attempt, for those that have one (in this batch, where one is named)."""
    wanted = listed(ids)
    rows = t.rows(_OPEN, ids=wanted) if batch_id is None else t.rows(_OPEN_HERE, ids=wanted, batch=batch_id)
    return {row.task_id: row.number for row in rows}
