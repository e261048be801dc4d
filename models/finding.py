"""Finding tasks by what their owner knows of them, and walking through all of them page by page."""

from collections.abc import Collection, Iterable

from sqlalchemy import select

from .db import Transaction
from .one_of import one_of
from .tables import accounts, tasks
from .task import Task


def ids(t: Transaction, account: str, kind: str, external_id: str, sub_id: str) -> list[int]:
    """The id of the one task with this identity, or none."""
    columns = (tasks.c.account, tasks.c.kind, tasks.c.external_id, tasks.c.sub_id)
    same = (column == value for column, value in zip(columns, (account, kind, external_id, sub_id), strict=True))
    return [row.id for row in t.rows(select(tasks.c.id).where(*same))]


def by_ids(t: Transaction, wanted: Iterable[int]) -> list[Task]:
    """The tasks with these ids, in id order; those that do not exist are left out."""
    return [Task.of(row) for row in t.rows(select(tasks).where(one_of(tasks.c.id, wanted)).order_by(tasks.c.id))]


def page(t: Transaction, *, after: int = 0, limit: int, **among: Collection[str]) -> list[Task]:
    """The next tasks by id whose columns are among these values; an empty collection means any."""
    where = [tasks.c[name].in_(values) for name, values in among.items() if values]
    rows = t.rows(select(tasks).where(tasks.c.id > after, *where).order_by(tasks.c.id).limit(limit))
    return [Task.of(row) for row in rows]


def providers(t: Transaction) -> dict[str, str]:
    """Account → provider, of every account that was ever configured on this database."""
    return {row.name: row.provider for row in t.rows(select(accounts.c.name, accounts.c.provider))}
