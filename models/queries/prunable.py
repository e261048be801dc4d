"""How much pruning would delete, without deleting it."""

from datetime import timedelta

from sqlalchemy import func, select, text

from ..ledger import totals_now
from ..sql.db import Transaction
from ..sql.tables import ENDED, batches, tasks
from ..states import Status


def ended_accounts(t: Transaction) -> list[str]:
    """The accounts that have ended tasks, configured or not."""
    ended = (row for row in totals_now(t) if row.name == "succeeded" or row.name.startswith("dead:"))
    return sorted({row.account for row in ended if row.value > 0})


def prunable_tasks(t: Transaction, account: str, status: Status, older_than: timedelta) -> int:
    """An account's tasks that have been ``status`` for longer."""
    ended = text(
        f"{ENDED} AND status = '{status.value}'"
    )  # the index's predicate, word for word: SQLite infers nothing
    old = (ended, tasks.c.account == account, tasks.c.status_since < t.now - older_than)
    return int(t.execute(select(func.count()).select_from(tasks).where(*old)).scalar_one())


def prunable_batches(t: Transaction, older_than: timedelta) -> int:
    """Batches that ended longer ago."""
    old = (text("status IN ('done', 'lost')"), batches.c.ended_at < t.now - older_than)
    return int(t.execute(select(func.count()).select_from(batches).where(*old)).scalar_one())
