"""Which accounts have work that is due: one statement, whose cost follows the accounts and not the tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Exists, Select, and_, bindparam, exists, literal_column, or_, select, text

from ..outcome import Cause
from ..sql.db import Transaction
from ..sql.one_of import listed, one_of_named
from ..sql.tables import CHECK_DUE, RETRY_DUE, accounts, tasks
from ..states import Operation
from .moments import latest_probe
from .quarantine import not_set_aside


@dataclass(frozen=True, slots=True)
class Due:
    """An account with due work of one operation."""

    account: str
    operation: Operation


def _any(predicate: str, *more: ColumnElement[bool]) -> Exists:
    return exists().where(tasks.c.account == accounts.c.name, text(predicate), *more, tasks.c.due_at <= _NOW)


_NOW = bindparam("now", type_=tasks.c.due_at.type)
# A probe's moment that lies further ahead than it can is due, too: the claim finds it, and moves it.
_PROBE_DUE = or_(
    accounts.c.probe_at <= _NOW, accounts.c.probe_at > bindparam("latest_probe", type_=tasks.c.due_at.type)
)
_MAY_ACT = or_(accounts.c.paused_at.is_(None), and_(accounts.c.paused_cause == Cause.BALANCE.value, _PROBE_DUE))


@cache
def _due(level: int) -> Select[Any]:
    free = not_set_aside(level)
    # One probe per priority: a single range over the index would read every task that is not due yet.
    retries = or_(*(_any(RETRY_DUE, tasks.c.priority == literal_column(str(p)), free) for p in (1, 0, -1)))
    return (
        select(accounts.c.name, retries.label("retry"), _any(CHECK_DUE, free).label("check"))
        .where(one_of_named(accounts.c.name, "names"), _MAY_ACT)
        .order_by(accounts.c.name)
    )


def due(t: Transaction, names: Sequence[str]) -> list[Due]:
    """Accounts among ``names`` that may act and have something due, by name; retries before checks."""
    found: list[Due] = []
    for row in t.rows(_due(t.level), names=listed(names), now=t.now, latest_probe=latest_probe(t.now)):
        found += [Due(row.name, operation) for operation in Operation if getattr(row, operation.value)]
    return found
