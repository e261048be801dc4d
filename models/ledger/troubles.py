"""Trouble that a scheduler has with an account and that is nobody's answer: noted for people, who see it in ``status``.

The rows are ``redrive_limits`` with the account as group and ``#trouble`` as path.
"""

from sqlalchemy import delete, select

from ..sql.db import Transaction, insert_for
from ..sql.tables import limits

PATH = "#trouble"


def note_trouble(t: Transaction, account: str, why: str) -> None:
    """An account's work cannot be scheduled at the moment, for this reason; '' is the whole installation."""
    row = insert_for(t)(limits).values(group=account[:64], path=PATH, why=why[:1000], next_at=t.now)
    t.execute(row.on_conflict_do_update(index_elements=["group", "path"], set_={"why": why[:1000], "next_at": t.now}))


def clear_trouble(t: Transaction, account: str) -> None:
    """It can again."""
    t.execute(delete(limits).where(limits.c.group == account[:64], limits.c.path == PATH))


def troubles(t: Transaction) -> dict[str, str]:
    """Account → why its work cannot be scheduled at the moment."""
    rows = t.rows(select(limits.c.group, limits.c.why).where(limits.c.path == PATH))
    return {row.group: row.why for row in rows}
