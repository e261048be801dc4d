"""How much pruning would delete, without deleting it."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select, text

from .. import ledger
from ..sql.db import Transaction
from ..sql.tables import batches, tasks
from ..states import Status


def ended_accounts(t: Transaction) -> list[str]:
    """The accounts that have ended tasks, configured or not."""
    ended = (row for row in ledger.totals_now(t) if row.name == "succeeded" or row.name.startswith("dead:"))
    return sorted({row.account for row in ended if row.value > 0})


def prunable_tasks(
    t: Transaction, account: str, status: Status, older_than: timedelta, kept_by: Sequence[ledger.Reference] = ()
) -> int:
    """An account's tasks that pruning would delete."""
    past = ledger.may_be_pruned(t, account, status, older_than, kept_by)
    return int(t.execute(select(func.count()).select_from(tasks).where(past)).scalar_one())


def prunable_batches(t: Transaction, older_than: timedelta) -> int:
    """Batches that ended longer ago."""
    old = (text("status IN ('done', 'lost')"), batches.c.ended_at < t.now - older_than)
    return int(t.execute(select(func.count()).select_from(batches).where(*old)).scalar_one())
