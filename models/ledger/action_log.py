"""What people, and Redrive itself, did on purpose: who, when, what and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select

from ..sql.db import Transaction
from ..sql.rowset import rowset
from ..sql.tables import actions
from ..task import Task
from .texts import storable

LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Who:
    """Who did something, and why."""

    who: str
    why: str = ""


def record_action(t: Transaction, who: Who, what: str, account: str, detail: str = "") -> None:
    """Record an action on an account."""
    t.execute(insert(actions).values(_row(t, who, what, account, detail)))


def acted_on(t: Transaction, who: Who, what: str, tasks: Iterable[Task], detail: str = "") -> None:
    """Record an action on tasks, a row each, in one statement."""
    rows = [{"task_id": x.id, **_row(t, who, what, x.account, detail)} for x in tasks]
    if rows:
        names = tuple(rows[0])
        r = rowset(t.dialect, rows, actions, names)
        t.execute(insert(actions).from_select(names, select(*(r[name] for name in names))))


def _row(t: Transaction, who: Who, what: str, account: str, detail: str) -> dict[str, Any]:
    return {
        "at": t.now,
        "who": storable(who.who, LONGEST_NAME),
        "what": what,
        "why": storable(who.why),
        "account": account,
        "detail": storable(detail),
    }
