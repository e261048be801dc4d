"""What holds an account's calls back, read at once: its breaker and its group's API paths."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, or_

from ..db import Transaction
from ..rules import Rules
from ..states import Operation
from ..tables import limits
from . import breaker, limit_rows, permits

_BREAKER = and_(limits.c.group == bindparam("account"), limits.c.path == bindparam("breaker"))


@cache
def _selected(level: int) -> Select[Any]:
    return limit_rows.selected(level).where(or_(permits.IN_GROUP, _BREAKER)).order_by(limits.c.path)


def read(t: Transaction, rules: Rules, operation: Operation) -> tuple[breaker.Breaker, dict[str, permits.Path]]:
    """The breaker of the account's operation, and API path → its state, for a decision.

    What lies further ahead than it can is stored as it is believed: see :mod:`.moments`.
    """
    own, paths = _rows(t, rules, operation)
    stored = breaker.of(own) if own is not None else breaker.Breaker()
    state = stored.believed(t, rules)
    if state != stored:
        breaker.mend(t, rules.account, operation, stored, state)
    if any(_lies_too_far(t, row, rules) for row in paths):
        permits.mend(t, rules)
    return state, permits.paths_from(t, paths, rules)


def shown(t: Transaction, rules: Rules, operation: Operation) -> tuple[breaker.Breaker, dict[str, permits.Path]]:
    """The same for a person: nothing is written."""
    own, paths = _rows(t, rules, operation)
    state = breaker.of(own).believed(t, rules) if own is not None else breaker.Breaker()
    return state, permits.paths_from(t, paths, rules)


def _rows(t: Transaction, rules: Rules, operation: Operation) -> tuple[Row[Any] | None, Sequence[Row[Any]]]:
    name = breaker.row_path(operation)
    rows = t.rows(_selected(t.level), group=rules.group, account=rules.account, breaker=name)
    return next((row for row in rows if row.path == name), None), [row for row in rows if row.path != name]


def _lies_too_far(t: Transaction, row: Row[Any], rules: Rules) -> bool:
    path = permits.path_of(t, row, rules)
    return (path.next_at, path.blocked_until) != (row.next_at, row.blocked_until)
