"""What people, and Redrive itself, did on purpose: who, when, what and why."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import insert, select

from ..db import Transaction
from ..rowset import rowset
from ..tables import actions
from ..task import Task


@dataclass(frozen=True, slots=True)
class Who:
    """Who did something, and why."""

    who: str
    why: str = ""


def acted(t: Transaction, who: Who, what: str, account: str) -> None:
    """Record an action on an account."""
    t.execute(insert(actions).values(at=t.now, who=who.who[:255], what=what, why=who.why, account=account))


def acted_on(t: Transaction, who: Who, what: str, tasks: Iterable[Task], detail: str = "") -> None:
    """Record an action on tasks, a row each, in one statement."""
    rows = [
        {
            "at": t.now,
            "who": who.who[:255],
            "what": what,
            "why": who.why,
            "account": x.account,
            "task_id": x.id,
            "detail": detail,
        }
        for x in tasks
    ]
    if rows:
        names = ("task_id", "at", "who", "what", "why", "account", "detail")
        r = rowset(t.dialect, rows, actions, names)
        t.execute(insert(actions).from_select(names, select(*(r[name] for name in names))))
