"""Which accounts have work that is due: one statement, whose cost follows the accounts and not the tasks."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Exists, and_, exists, literal_column, or_, select, text

from .db import Transaction
from .one_of import one_of
from .outcome import Cause
from .states import Operation
from .tables import CHECK_DUE, RETRY_DUE, accounts, tasks


@dataclass(frozen=True, slots=True)
class Due:
    """An account with due work of one operation."""

    account: str
    operation: Operation


def due(t: Transaction, names: Sequence[str]) -> list[Due]:
    """Accounts among ``names`` that may act and have something due, by name; retries before checks."""
    may_act = or_(
        accounts.c.paused_at.is_(None), and_(accounts.c.paused_cause == Cause.BALANCE, accounts.c.probe_at <= t.now)
    )
    statement = (
        select(accounts.c.name, _retries(t).label("retry"), _checks(t).label("check"))
        .where(one_of(accounts.c.name, names), may_act)
        .order_by(accounts.c.name)
    )
    found: list[Due] = []
    for row in t.rows(statement):
        found += [Due(row.name, operation) for operation in Operation if getattr(row, operation.value)]
    return found


def _retries(t: Transaction) -> ColumnElement[bool]:
    # One probe per priority: a single range over the index would read every task that is not due yet.
    return or_(*(_any(t, RETRY_DUE, tasks.c.priority == literal_column(str(p))) for p in (1, 0, -1)))


def _checks(t: Transaction) -> ColumnElement[bool]:
    return _any(t, CHECK_DUE)


def _any(t: Transaction, predicate: str, *more: ColumnElement[bool]) -> Exists:
    return exists().where(tasks.c.account == accounts.c.name, text(predicate), *more, tasks.c.due_at <= t.now)
