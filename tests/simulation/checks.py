"""What must never be seen: at the moment a call leaves, when an answer is recorded, and at the end."""

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import RowMapping, and_, bindparam, select

from redrive.models.outcome import Cause
from redrive.models.sql.db import Database, Transaction
from redrive.models.sql.tables import accounts, attempts, tasks
from tests.simulation.history import History
from tests.simulation.provider import Told
from tests.simulation.stage import Stage

GRANTED_SECONDS = 3.1
"""How long after a penalty was recorded a call may still leave whose permit was taken before."""


_ACCOUNT = select(accounts).where(accounts.c.name == bindparam("name"))
_OPEN = (
    select(tasks.c.kind, tasks.c.external_id, tasks.c.sub_id)
    .select_from(tasks.join(attempts, and_(attempts.c.task_id == tasks.c.id, attempts.c.closed_at.is_(None))))
    .where(tasks.c.account == bindparam("account"))
)


def _account(t: Transaction, name: str) -> RowMapping:
    return t.connection.execute(_ACCOUNT, {"name": name}).mappings().one()


class Checks:
    """Reads the database as it is committed, and keeps what left when."""

    def __init__(self, stage: Stage, history: History, database: Database) -> None:
        self.left: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.begun: dict[str, int] = defaultdict(int)
        self._stage = stage
        self._history = history
        self._database = database
        self._penalties: dict[str, list[tuple[str, float, float, str]]] = defaultdict(list)
        self._per_minute: dict[str, float] = {}
        self._per_hour: dict[str, float] = {}

    def limited(self, group: str, per_minute: float, per_hour: float) -> None:
        """What the settings allow a group on each path."""
        self._per_minute[group], self._per_hour[group] = per_minute, per_hour

    def jumped_ahead(self) -> None:
        """The database's clock did: waits end early then, which no program on that clock can know."""
        self.left.clear()
        self._penalties.clear()

    # --- A call leaves ---

    def leaving(self, account: str, group: str, path: str, request: httpx.Request, began: float) -> None:
        """Called when the first byte leaves, of a call whose sender began at ``began``."""
        self._within_rate(group, path)
        self._no_penalty(group, account, path)
        with self._database.reading() as t:
            self._not_paused(t, account, path, began)
            if path.endswith(("/retry", "/restart")):
                self._recorded_first(t, account, path, request)

    def _within_rate(self, group: str, path: str) -> None:
        now, times = self._stage.seconds, self.left[group, path]
        times.append(now)
        for seconds, most in ((60, self._per_minute[group]), (3600, self._per_hour[group])):
            recent = len(times) - bisect_right(times, now - seconds + 1e-3)
            if recent > most:
                self._history.violation(f"{recent} calls of {group} {path} within {seconds} s, allowed are {most:g}")

    def _no_penalty(self, group: str, account: str, path: str) -> None:
        now = self._stage.seconds
        for where, since, until, why in self._penalties[group]:
            if where in {path, ""} and since + GRANTED_SECONDS < now < until - 1e-3:
                self._history.violation(
                    f"{account} calls {path} {until - now:.1f} s before the end of a penalty ({why}) "
                    f"recorded {now - since:.1f} s ago"
                )

    def _not_paused(self, t: Transaction, account: str, path: str, began: float) -> None:
        row = _account(t, account)
        paused: datetime | None = row["paused_at"]
        if paused is None or row["paused_cause"] == Cause.BALANCE:
            return
        ago = (self._stage.stored_now() - paused).total_seconds()
        if self._stage.seconds - began < ago - GRANTED_SECONDS:
            self._history.violation(f"{account} calls {path} although it is paused: {row['paused_reason']}")

    def _recorded_first(self, t: Transaction, account: str, path: str, request: httpx.Request) -> None:
        """Every task a retry names has an open attempt, committed."""
        found = t.connection.execute(_OPEN, {"account": account}).all()
        open_ones = {(row.kind, row.external_id, row.sub_id) for row in found}
        for named in named_by(path, request):
            if named not in open_ones:
                self._history.violation(f"{account} retries {named} without an open attempt")

    # --- An answer is recorded ---

    def recorded(self, told: list[Told]) -> None:
        """The transaction with this answer is committed."""
        for each in told:
            if each.fault.penalty:
                where = "" if each.path == "/v3/auth/tokens" else each.path
                self._penalties[each.group].append(
                    (where, self._stage.seconds, each.at + each.fault.penalty, each.fault.name)
                )
        blocks = [each for each in told if each.fault.blocks]
        if blocks:
            self._stopped(blocks[-1])

    def _stopped(self, told: Told) -> None:
        """An account that was told to stop is paused from then on, unless that is old news."""
        if told.path == "/v3/auth/tokens" or told.fault.blocks in {"401", "0301", "0303"}:
            return  # a token that was refused is first renewed
        with self._database.reading() as t:
            row = _account(t, told.account)
        since = row["resumed_at"]
        old = since is not None and since >= self._stage.stored_now() - timedelta(seconds=30)
        if row["paused_at"] is None and not old:
            self._history.violation(f"{told.account} was told {told.fault.name!r} and goes on")

    # --- A job is over ---

    def worked(self, batch_id: str, counts: Mapping[str, int]) -> None:
        """A batch is worked on once."""
        if "not_mine" not in counts and "not_begun" not in counts:
            self.begun[batch_id] += 1
            if self.begun[batch_id] > 1:
                self._history.violation(f"batch {batch_id} was worked on {self.begun[batch_id]} times")


def named_by(path: str, request: httpx.Request) -> list[tuple[str, str, str]]:
    """Kind, external id and sub id of what a retry call names."""
    body: Any = json.loads(request.content)
    if path.endswith("/restart"):
        return [("", each, "") for each in body["ids"]]
    if path == "/review/task/rule/retry":
        return [("review_rule", body["task_id"], body["rule_id"])]
    if path == "/review/task/retry":
        return [("review_task", body["task_id"], "")]
    return [(key.removesuffix("_id"), value, "") for key, value in body.items()]
