"""What has come in the way of accounts, and what has gone, between two moments: for a log that people are woken by."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select

from ..ledger import breaker_path
from ..sql.db import Transaction
from ..sql.tables import accounts, columns, limits
from ..states import Operation

EVENTS = {
    "pause": ("account.paused", "account.resumed"),
    "breaker": ("breaker.opened", "breaker.closed"),
    "penalty": ("penalty.began", "penalty.ended"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One thing in the way of an account, or of a limit group.

    Attributes:
        kind: ``pause``, ``breaker`` or ``penalty``.
        of: the account's name, or the group's.
        where: the operation of a breaker, the API path of a penalty.
    """

    kind: str
    of: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why it is in the way, and until when, where a moment is known."""

    why: str
    until: datetime | None = None


Obstacles = Mapping[Obstacle, Reason]


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """An event, and whether it is a bad one."""

    event: str
    bad: bool
    of: str
    where: str
    why: str
    until: datetime | None = None


def obstacles(t: Transaction) -> Obstacles:
    """Everything that is in the way now. Reads a row for each account and path that is not well."""
    found: dict[Obstacle, Reason] = {}
    paused = select(accounts.c.name, accounts.c.paused_by, accounts.c.paused_reason, accounts.c.paused_cause)
    for row in t.rows(paused.where(accounts.c.paused_at.is_not(None))):
        found[Obstacle(kind="pause", of=row.name)] = Reason(f"{row.paused_by}: {row.paused_reason or row.paused_cause}")
    operations = {breaker_path(operation): operation.value for operation in Operation}
    for row in t.rows(
        select(*columns(limits, t.level)).where(or_(limits.c.open_until.is_not(None), limits.c.blocked_until > t.now))
    ):
        if (operation := operations.get(row.path)) is not None:
            found[Obstacle(kind="breaker", of=row.group, where=operation)] = Reason(row.why, row.open_until)
        elif _blocked(row.blocked_until, t.now):
            found[Obstacle(kind="penalty", of=row.group, where=row.path)] = Reason(row.why, row.blocked_until)
    return found


def _blocked(until: datetime | None, now: datetime) -> bool:
    return until is not None and until > now


def news(before: Obstacles, now: Obstacles) -> Iterator[News]:
    """What has changed since: the bad first."""
    for each, reason in now.items():
        if each not in before:
            event = EVENTS[each.kind][0]
            yield News(event=event, bad=True, of=each.of, where=each.where, why=reason.why, until=reason.until)
    for each, reason in before.items():
        if each not in now:
            yield News(event=EVENTS[each.kind][1], bad=False, of=each.of, where=each.where, why=reason.why)
