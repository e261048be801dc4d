"""The longest stall: how long work lay about that could have been done.

An account stalls while, at every check, it has a retry that is due or in a batch, nothing healthy prevents it (the
account is not paused, the breaker of its retries is closed, none of its paths is under a penalty), and no attempt of
it is opened or closed. A check that the database did not answer interrupts nothing: its being away is part of a stall.
"""

import threading
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from redrive.models.errors import Unreachable
from redrive.models.ledger.breaker import row_path
from redrive.models.rules import Rules
from redrive.models.sql.tables import accounts, attempts, limits, tasks
from redrive.models.states import FAILED_STATES, Operation, Status
from tests.chaos.world import ChaosWorld

LOOK_SECONDS = 0.5


class Stalls(threading.Thread):
    """Looks every half second, until told to stop.

    Attributes:
        longest: in seconds.
        where: the account, and the moment its longest stall began.
    """

    def __init__(self, world: ChaosWorld) -> None:
        super().__init__(name="stalls", daemon=True)
        self.longest = 0.0
        self.where = ""
        self._world = world
        self._over = threading.Event()
        self._since: dict[str, datetime] = {}

    def run(self) -> None:
        """Look until :meth:`stop`."""
        while not self._over.wait(LOOK_SECONDS):
            try:
                self._look()
            except Unreachable:
                continue

    def stop(self) -> None:
        """No more checks."""
        self._over.set()
        self.join()

    def _look(self) -> None:
        with self._world.database.reading() as t:
            waiting = {
                row.account for row in t.rows(select(tasks.c.account).where(self._could_be_tried(t.now)).distinct())
            }
            moved = {row.account: row.at for row in t.rows(_last_moves(min(self._since.values(), default=t.now)))}
            paused = {row.name for row in t.rows(select(accounts.c.name).where(accounts.c.paused_at.is_not(None)))}
            kept = {(row.group, row.path) for row in t.rows(select(limits.c.group, limits.c.path).where(_kept(t.now)))}
        for name, rules in self._world.rules.items():
            if name not in waiting or name in paused or _prevented(rules, kept):
                self._since.pop(name, None)
                continue
            since = self._since.get(name, t.now)
            since = self._since[name] = max(since, moved.get(name, since))
            self._note(name, since, (t.now - since).total_seconds())

    def _could_be_tried(self, now: datetime) -> ColumnElement[bool]:
        due = and_(tasks.c.status.in_(FAILED_STATES), tasks.c.next == Operation.RETRY, tasks.c.due_at <= now)
        return and_(or_(tasks.c.status == Status.IN_FLIGHT, due), tasks.c.id.not_in({*self._world.odd}))

    def _note(self, name: str, since: datetime, seconds: float) -> None:
        if seconds > self.longest:
            self.longest, self.where = seconds, f"{name}, {since:%H:%M:%S} UTC"


def _last_moves(since: datetime) -> Select[Any]:
    at = func.max(func.coalesce(attempts.c.closed_at, attempts.c.opened_at)).label("at")
    young = or_(attempts.c.opened_at >= since, attempts.c.closed_at >= since)
    return (
        select(tasks.c.account, at).join(tasks, tasks.c.id == attempts.c.task_id).where(young).group_by(tasks.c.account)
    )


def _kept(now: datetime) -> ColumnElement[bool]:
    return or_(limits.c.open_until.is_not(None), limits.c.blocked_until > now)


def _prevented(rules: Rules, kept: set[tuple[str, str]]) -> bool:
    breaker = (rules.account, row_path(Operation.RETRY))
    penalties = {(group, path) for group, path in kept if group == rules.group and not path.startswith("#")}
    return breaker in kept or bool(penalties)
