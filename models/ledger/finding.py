"""Finding tasks by what their owner knows of them, and walking through all of them page by page."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Select, select

from ..sql.db import Transaction
from ..sql.db_errors import is_row_fault
from ..sql.one_of import one_of
from ..sql.tables import accounts, tasks
from ..task import Task


def ids(t: Transaction, account: str, kind: str, external_id: str, sub_id: str) -> list[int]:
    """The id of the one task with this identity, or none."""
    columns = (tasks.c.account, tasks.c.kind, tasks.c.external_id, tasks.c.sub_id)
    same = (column == value for column, value in zip(columns, (account, kind, external_id, sub_id), strict=True))
    return [row.id for row in t.rows(select(tasks.c.id).where(*same))]


def by_ids(t: Transaction, wanted: Iterable[int]) -> list[Task]:
    """The tasks with these ids, in id order; those that do not exist, or whose row cannot be read, are left out."""
    return readable(t, select(tasks).where(one_of(tasks.c.id, wanted)).order_by(tasks.c.id))


def page(t: Transaction, *, after: int = 0, limit: int, **among: Collection[str]) -> list[int]:
    """The next ids of tasks whose columns are among these values; an empty collection means any."""
    where = [tasks.c[name].in_(values) for name, values in among.items() if values]
    return [
        row.id for row in t.rows(select(tasks.c.id).where(tasks.c.id > after, *where).order_by(tasks.c.id).limit(limit))
    ]


def readable(t: Transaction, found: Select[Any]) -> list[Task]:
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
        return [Task.of(row) for row in t.rows(select(tasks).where(tasks.c.id == task_id))]
    except Exception as error:
        if not is_row_fault(error):
            raise
        return []


def providers(t: Transaction) -> dict[str, str]:
    """Account → provider, of every account that was ever configured on this database."""
    return {row.name: row.provider for row in t.rows(select(accounts.c.name, accounts.c.provider))}
