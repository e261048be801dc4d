"""What people, and Redrive itself, did on purpose."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select

from ..sql.db import Transaction
from ..sql.tables import actions
from .moments import moment_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An action; ``task_id`` is None for one on an account."""

    id: int
    at: datetime
    who: str
    what: str
    account: str
    task_id: int | None
    why: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFilter:
    """Which actions are meant: all that match every field that is set.

    Attributes:
        who: a part of a name, in any case of letters.
        since: at or after this moment, or within this time; ``until``: before it.
        before: only ids below this one: the next page.
    """

    who: str = ""
    what: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    since: datetime | timedelta | None = None
    until: datetime | timedelta | None = None
    before: int | None = None

    def where(self, now: datetime) -> list[ColumnElement[bool]]:
        """The filter in SQL."""
        parts: list[ColumnElement[bool]] = []
        if self.who:
            parts.append(actions.c.who.icontains(self.who, autoescape=True))
        if self.what:
            parts.append(actions.c.what.in_(self.what))
        if self.accounts:
            parts.append(actions.c.account.in_(self.accounts))
        if self.since is not None:
            parts.append(actions.c.at >= moment_of(self.since, now))
        if self.until is not None:
            parts.append(actions.c.at < moment_of(self.until, now))
        if self.before is not None:
            parts.append(actions.c.id < self.before)
        return parts


def done(t: Transaction, wanted: ActionFilter, *, limit: int = 50) -> list[Done]:
    """The latest actions that match, the newest first."""
    columns = [actions.c[name] for name in Done.__slots__]
    statement = select(*columns).where(*wanted.where(t.now)).order_by(actions.c.id.desc()).limit(limit)
    return [Done(**row) for row in t.mappings(statement)]
