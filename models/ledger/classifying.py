"""Classifying tasks whose failure has no code: rows that a host inserted by itself, and those of earlier releases."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Select, select, text, update

from ..failure import failure_code
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.rowset import rowset
from ..sql.tables import UNCLASSIFIED, tasks
from .quarantine import not_set_aside

LEVEL = 3
"""The first schema with failure codes."""

AT_ONCE = 500


@cache
def _unclassified(level: int) -> Select[Any]:
    """The oldest that nobody has locked: what a host holds comes later, and stands before nothing."""
    found = select(tasks.c.id, tasks.c.account, tasks.c.last_error).where(text(UNCLASSIFIED), not_set_aside(level))
    return found.order_by(tasks.c.id).limit(AT_ONCE).with_for_update(key_share=True, skip_locked=True)


def classify(t: Transaction, rules_of: Mapping[str, Rules]) -> int:
    """Give up to 500 tasks the failure code that their last words have; returns how many."""
    if t.level < LEVEL:
        return 0
    rows = [
        {"id": row.id, "failure": failure_code("", row.last_error, _merges(row.account, rules_of))}
        for row in t.rows(_unclassified(t.level))
    ]
    if rows:
        r = rowset(t.dialect, rows, tasks, ("id", "failure"))
        t.execute(update(tasks).where(tasks.c.id == r["id"]).values(failure=r["failure"]))
    return len(rows)


def _merges(account: str, rules_of: Mapping[str, Rules]) -> Mapping[str, str] | None:
    rules = rules_of.get(account)
    return rules.failures if rules is not None else None
