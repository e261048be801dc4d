"""Reading tasks under lock and writing them back guarded: the only UPDATE of a task's status."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, select, update

from ..sql.db import Transaction
from ..sql.one_of import listed, one_of, one_of_named
from ..sql.rowset import rowset
from ..sql.tables import attempts, columns, is_there, tasks
from ..task import COLUMNS, Task, values_of
from .totals import Steps, count

Change = tuple[Task, Task]
"""A task as it was read under lock, and as it is to be."""

_GUARD = ("status", "attempts", "spent")
_GUARD_WAS = tuple(f"{name}_was" for name in _GUARD)


class StaleWriteError(RuntimeError):
    """A task moved although we held its lock: a defect of ours. The transaction must roll back."""


def by_ids(ids: Iterable[int]) -> ColumnElement[bool]:
    """The tasks with these ids."""
    return one_of(tasks.c.id, ids)


@cache
def _of_ids(level: int) -> Select[Any]:
    """In id order, so that two writers never wait for each other."""
    return select(*columns(tasks, level)).where(one_of_named(tasks.c.id, "ids")).order_by(tasks.c.id)


@cache
def _locked_of_ids(level: int, *, skip_locked: bool) -> Select[Any]:
    """The weaker of PostgreSQL's locks: the stronger one would wait for every host's row that refers to ours."""
    return _of_ids(level).with_for_update(key_share=True, skip_locked=skip_locked)


def locked_by_ids(t: Transaction, ids: Iterable[int]) -> list[Task]:
    """The tasks with these ids, under lock; waits for who holds one, at most as long as the session may.

    Raises:
        Locked: somebody held one for longer.
    """
    return [Task.of(row) for row in t.rows(_locked_of_ids(t.level, skip_locked=False), ids=listed(ids))]


def free_by_ids(t: Transaction, ids: Iterable[int]) -> list[Task]:
    """The same without those that somebody else has locked: a host's open transaction keeps only its own tasks back."""
    return [Task.of(row) for row in t.rows(_locked_of_ids(t.level, skip_locked=True), ids=listed(ids))]


def by_id(t: Transaction, ids: Iterable[int]) -> list[Task]:
    """The tasks with these ids as they are, without a lock."""
    return [Task.of(row) for row in t.rows(_of_ids(t.level), ids=listed(ids))]


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
    moved = _moved(changed, t.level)
    rows = [_row(was, now, moved) for was, now in changed]
    r = rowset(t.dialect, rows, tasks, ("id", *moved, *_GUARD_WAS), keyed=False)
    # By their ids, as plainly as can be: with old statistics PostgreSQL takes the guard for the better way in, and
    # reads the whole table by it.
    mine = and_(by_ids(was.id for was, _ in changed), *([tasks.c.id == r["id"]] if "id" in r else []))
    unmoved = and_(mine, *(tasks.c[name] == r[f"{name}_was"] for name in _GUARD))
    values = {name: r[name] for name in moved} | {"updated_at": t.now}
    result = t.execute(update(tasks).where(unmoved).values(values))
    if result.rowcount != len(changed):
        raise StaleWriteError(f"{len(changed) - result.rowcount} of {len(changed)} tasks moved under lock")
    return _ends(changed)


def _moved(changed: Sequence[Change], level: int) -> list[str]:
    """The columns that differ in any of the tasks: what stays is not written, and its indexes are left alone."""
    there = _columns_there(level)
    before, after = (zip(*(values_of(change[i]) for change in changed), strict=True) for i in (0, 1))
    return [name for name, was, now in zip(COLUMNS, before, after, strict=True) if was != now and name in there]


@cache
def _columns_there(level: int) -> frozenset[str]:
    return frozenset(column.name for column in tasks.columns if is_there(column, level))


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


_OPEN = select(attempts.c.task_id, attempts.c.number).where(
    one_of_named(attempts.c.task_id, "ids"), attempts.c.closed_at.is_(None)
)
_OPEN_HERE = _OPEN.where(attempts.c.batch_id == bindparam("batch"))


def unanswered(t: Transaction, ids: Iterable[int], *, batch_id: UUID | None = None) -> dict[int, int]:
    """Task id → number of its open attempt, for those that have one (in this batch, where one is named)."""
    wanted = listed(ids)
    rows = t.rows(_OPEN, ids=wanted) if batch_id is None else t.rows(_OPEN_HERE, ids=wanted, batch=batch_id)
    return {row.task_id: row.number for row in rows}


_ANYWHERE = _OPEN.add_columns(attempts.c.batch_id)


def unanswered_anywhere(t: Transaction, ids: Iterable[int]) -> dict[int, tuple[int, UUID]]:
    """Task id → number and batch of its open attempt, for those that have one."""
    wanted = listed(ids)
    rows = t.rows(_ANYWHERE, ids=wanted) if wanted else ()
    return {row.task_id: (row.number, row.batch_id) for row in rows}
