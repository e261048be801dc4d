"""Totals: moved by appending deltas, so that no two transactions wait for one row, and folded by one process at a time.

A reader adds what is not folded yet, in the same statement, so that it never sees a step twice or not at all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Row, Select, cast, func, insert, select, text, union_all

from ..sql.db import Transaction, insert_for
from ..sql.rowset import rowset
from ..sql.tables import deltas, totals
from ..sql.types import BigId

Steps = Counter[tuple[str, str]]
"""How totals move, by account and name."""

LEVEL = 2
"""The first schema with deltas."""

FOLDED_AT_ONCE = 20_000

_DELTA = ("name", "account", "value", "minute")

_FOLD_LOCK = 0x7265_6472_6976_66
_FOLD = text(
    f"""
    WITH oldest AS (SELECT id FROM redrive_deltas ORDER BY id LIMIT {FOLDED_AT_ONCE}),
    gone AS (DELETE FROM redrive_deltas WHERE id <= (SELECT max(id) FROM oldest) RETURNING account, name, value)
    INSERT INTO redrive_totals (account, name, value)
    SELECT account, name, sum(value) FROM gone GROUP BY account, name ORDER BY account, name
    ON CONFLICT (account, name) DO UPDATE SET value = redrive_totals.value + excluded.value
    """  # noqa: S608 - a number of ours
)


def count(t: Transaction, steps: Mapping[tuple[str, str], int]) -> None:
    """Move totals, keyed by account and name, in one statement."""
    rows = [{"account": a, "name": n, "value": step} for (a, n), step in sorted(steps.items()) if step]
    if not rows:
        return
    if _appends(t):
        minute = t.now.replace(second=0, microsecond=0)
        # One text for any number of rows: a list of values would be a statement of its own for each length.
        r = rowset(t.dialect, [row | {"minute": minute} for row in rows], deltas, _DELTA)
        t.execute(insert(deltas).from_select(_DELTA, select(*(r[name] for name in _DELTA))))
        return
    statement = insert_for(t)(totals).values(rows)
    moved = {"value": totals.c.value + statement.excluded.value}
    t.execute(statement.on_conflict_do_update(index_elements=["account", "name"], set_=moved))


def fold(t: Transaction) -> int:
    """Fold deltas into the totals; 0 while another process does it. Returns how many totals moved."""
    if not _appends(t) or not t.execute(text(f"SELECT pg_try_advisory_xact_lock({_FOLD_LOCK})")).scalar_one():
        return 0
    return t.execute(_FOLD).rowcount


def totals_now(t: Transaction) -> Sequence[Row[Any]]:
    """Every total that is not zero, with ``account``, ``name`` and ``value``, by name."""
    return t.rows(totals_as_read(t.level))


def _appends(t: Transaction) -> bool:
    """SQLite has one writer, so that nobody waits for a row."""
    return t.level >= LEVEL and t.dialect == "postgresql"


@cache
def totals_as_read(level: int) -> Select[Any]:
    """The query behind :func:`totals_now`, one for each schema."""
    if level < LEVEL:
        return select(totals).where(totals.c.value != 0).order_by(totals.c.name)
    both = union_all(*(select(table.c.account, table.c.name, table.c.value) for table in (totals, deltas))).subquery()
    value = cast(func.sum(both.c.value), BigId)
    moved = select(both.c.account, both.c.name, value.label("value")).group_by(both.c.account, both.c.name)
    return moved.having(value != 0).order_by(both.c.name)
