"""Deleting what ended long ago; never a task with an open attempt."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, select, text

from ..sql.db import Transaction
from ..sql.one_of import one_of
from ..sql.tables import ENDED, accounts, actions, attempts, batches, tasks
from ..states import BatchStatus, Status
from . import quarantine
from .rows import end_name
from .totals import count

PRUNED_AT_ONCE = 1000
"""Rows deleted in one transaction: short locks, however much there is to delete."""


# What a host's tables say about deleting our tasks; only these refuse it, the others go or are set to null with them.
_REFERENCES = text(
    """
    SELECT key.conrelid::regclass::text AS name, quote_ident(part.attname) AS part FROM pg_constraint AS key
    JOIN pg_attribute AS part ON part.attrelid = key.conrelid AND part.attnum = key.conkey[1]
    WHERE key.contype = 'f' AND key.confrelid = 'redrive_tasks'::regclass AND key.confdeltype IN ('a', 'r')
    """
)
_HOSTS_TABLES = text(r"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'redrive\_%' ESCAPE '\'")


@dataclass(frozen=True, slots=True)
class Reference:
    """A host's foreign key to our tasks that refuses their deletion; names as SQL writes them."""

    table: str
    column: str

    @property
    def is_missing(self) -> ColumnElement[bool]:
        """Of a row of ``redrive_tasks``: no row of the host's refers to it."""
        return ~exists(text("1")).select_from(text(self.table)).where(text(f"{self.column} = redrive_tasks.id"))


def references(t: Transaction) -> list[Reference]:
    """The foreign keys of hosts' tables that keep tasks from being deleted."""
    if t.dialect == "sqlite":
        return _references_sqlite(t)
    return [Reference(row.name, row.part) for row in t.rows(_REFERENCES)]


def _references_sqlite(t: Transaction) -> list[Reference]:
    return [
        Reference(table, _quoted(key["from"]))
        for table in (_quoted(row.name) for row in t.rows(_HOSTS_TABLES))
        for key in t.mappings(text(f"PRAGMA foreign_key_list({table})"))
        if key["table"] == "redrive_tasks" and key["on_delete"] in {"NO ACTION", "RESTRICT"}
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def prune_tasks(
    t: Transaction, account: str, status: Status, older_than: timedelta, kept_by: Sequence[Reference] = ()
) -> int:
    """Delete one page of an account's tasks that have been ``status`` for longer; returns how many.

    Tasks that a host's row refers to stay (``kept_by``): the deletion of a whole page would fail over one of them.
    """
    past = may_be_pruned(t, account, status, older_than, kept_by)
    old = select(tasks.c.id).where(past).order_by(tasks.c.status_since).limit(PRUNED_AT_ONCE)
    ids = [row.id for row in t.rows(old.with_for_update(skip_locked=True, of=tasks))]
    if not ids:
        return 0
    t.execute(delete(actions).where(one_of(actions.c.task_id, ids)))
    quarantine.forget(t, ids)
    # Attempts and archives go with their task, by foreign key.
    gone = t.execute(delete(tasks).where(one_of(tasks.c.id, ids)).returning(tasks.c.dead_reason)).all()
    steps = Counter((account, end_name(status, row.dead_reason)) for row in gone)
    count(t, {key: -n for key, n in steps.items()} | {(account, "pruned"): len(gone)})
    return len(gone)


def prunable(t: Transaction, names: Sequence[str], status: Status, older_than: timedelta) -> list[str]:
    """The accounts among these that have tasks which have been ``status`` for longer, whatever keeps some of them."""
    old = select(tasks.c.id).where(_ended_before(t, accounts.c.name, status, older_than)).exists()
    return [row.name for row in t.rows(select(accounts.c.name).where(one_of(accounts.c.name, names), old))]


def may_be_pruned(
    t: Transaction, account: str, status: Status, older_than: timedelta, kept_by: Sequence[Reference] = ()
) -> ColumnElement[bool]:
    """Of a row of ``redrive_tasks``: it ended so, longer ago, no call of it may be under way, and no host keeps it."""
    unsettled = select(attempts.c.task_id).where(attempts.c.task_id == tasks.c.id, attempts.c.closed_at.is_(None))
    ended = _ended_before(t, account, status, older_than)
    return and_(ended, ~unsettled.exists(), *(each.is_missing for each in kept_by))


def _ended_before(
    t: Transaction, account: str | ColumnElement[str], status: Status, older_than: timedelta
) -> ColumnElement[bool]:
    # SQLite uses a partial index only where its predicate stands word for word.
    so = text(f"redrive_tasks.{ENDED} AND redrive_tasks.status = '{status.value}'")
    return and_(so, tasks.c.account == account, tasks.c.status_since < t.now - older_than)


def prune_batches(t: Transaction, older_than: timedelta) -> int:
    """Delete one page of batches that ended longer ago; returns how many."""
    over: ColumnElement[bool] = batches.c.status.in_([BatchStatus.DONE.value, BatchStatus.LOST.value])
    old = select(batches.c.id).where(over, text("status IN ('done', 'lost')"), batches.c.ended_at < t.now - older_than)
    return t.execute(
        delete(batches).where(batches.c.id.in_(old.order_by(batches.c.ended_at).limit(PRUNED_AT_ONCE)))
    ).rowcount
