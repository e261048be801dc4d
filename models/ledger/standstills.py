"""Times in which an account stood still: work was due, and nobody could call. No task grows older in them.

One row is one interval. Intervals of an account's operation that touch are one; those of different operations may
overlap, and count once.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select, true, update

from ..policy import Stood
from ..sql.db import Transaction
from ..sql.tables import standstills
from ..states import Operation

LEVEL = 2
"""The first schema that remembers them."""

TOUCHING = timedelta(seconds=5)
KEPT = timedelta(days=400)
MOST = 1000
"""Intervals kept of an account's operation. Of more, the two oldest become one that lasts as long as both."""


def stood(t: Transaction, account: str, operations: Collection[Operation], since: datetime) -> timedelta:
    """How long the account stood still between ``since`` and now, in any of these operations."""
    return _overlap(_intervals(t, account, operations, standstills.c.until > since), t.now, since)


def remembered(t: Transaction, account: str, operations: Collection[Operation]) -> Stood:
    """The same for any moment, also when the transaction is over."""
    return partial(_overlap, _intervals(t, account, operations, true()), t.now)


def _intervals(
    t: Transaction, account: str, operations: Collection[Operation], which: ColumnElement[bool]
) -> Sequence[Row[Any]]:
    if t.level < LEVEL:
        return ()
    return t.rows(select(standstills).where(_of(account, operations), which).order_by(standstills.c.since))


def _overlap(intervals: Sequence[Row[Any]], now: datetime, since: datetime) -> timedelta:
    """How much of the time between ``since`` and now lies in these intervals, which may overlap each other."""
    total, reached = timedelta(), since
    for row in intervals:
        until = min(row.until, now)
        total += max(until - max(row.since, reached), timedelta())
        reached = max(reached, until)
    return total


def note(t: Transaction, account: str, operation: Operation, since: datetime, until: datetime) -> None:
    """Remember that it stood still from one moment to another; the last interval grows where the two touch."""
    until = min(until, t.now)
    if t.level < LEVEL or since >= until:
        return
    mine = _of(account, [operation])
    last = t.execute(select(standstills).where(mine).order_by(standstills.c.until.desc()).limit(1)).one_or_none()
    if last is not None and since <= last.until + TOUCHING and until >= last.since - TOUCHING:
        grown = {"since": min(last.since, since), "until": max(last.until, until)}
        t.execute(update(standstills).where(standstills.c.id == last.id).values(grown))
        return
    t.execute(insert(standstills).values(account=account, operation=operation.value, since=since, until=until))
    t.execute(delete(standstills).where(mine, standstills.c.until < t.now - KEPT))
    _fold(t, mine)


def _of(account: str, operations: Collection[Operation]) -> ColumnElement[bool]:
    names = [operation.value for operation in operations]
    return and_(standstills.c.account == account, standstills.c.operation.in_(names))


def _fold(t: Transaction, mine: ColumnElement[bool]) -> None:
    many = t.execute(select(func.count()).select_from(standstills).where(mine)).scalar_one()
    if many > MOST:
        _join(t, t.rows(select(standstills).where(mine).order_by(standstills.c.until, standstills.c.id).limit(2)))


def _join(t: Transaction, two: Sequence[Row[Any]]) -> None:
    older, younger = two
    t.execute(delete(standstills).where(standstills.c.id == older.id))
    longer = younger.since - (older.until - older.since)
    t.execute(update(standstills).where(standstills.c.id == younger.id).values(since=longer))
