"""Two schedulers, three workers and an operator over one database, each with connections of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import Connection, create_engine, delete, event

from redrive.models.outcome import CheckResult, Outcome
from redrive.models.providers import GEELARK
from redrive.models.rules import BreakerRules, Rules
from redrive.models.settings.policy import Policy
from redrive.models.sql.db import Database
from redrive.models.sql.tables import metadata
from redrive.worker.providers.base import Account, Exchange, Plan, TaskRef
from redrive.worker.providers.geelark import GeeLark
from redrive.worker.sender import Sender
from redrive.worker.window import Window
from tests.interleaving import audit
from tests.interleaving.actors import Broker, People, Stage, Worker, make_scheduler
from tests.interleaving.clock import Clock
from tests.interleaving.conductor import At, Stop, current
from tests.interleaving.hooks import PostgresLocks, SqliteLocks, listen
from tests.interleaving.provider import TIMEOUT_SECONDS, Ask, Transport

if TYPE_CHECKING:
    import asyncio

    from tests.interleaving.play import Play

ACCOUNTS = ("red", "blue")
TASKS = (("r1", "red"), ("r2", "red"), ("b1", "blue"), ("b2", "blue"), ("r3", "red"))
SCHEDULERS = ("scheduler 1", "scheduler 2")
WORKERS = ("worker 1", "worker 2", "worker 3")
OPERATOR = "operator"

POLICY = Policy.model_validate({
    "max_retries": 3, "backoff": "constant", "base_seconds": 5, "jitter": "none", "max_errors": 3,
    "check_after_seconds": 10, "check_max_seconds": 60, "settle_seconds": 60,
})  # fmt: skip


def make_rules(max_in_flight: int, batch_size: int) -> dict[str, Rules]:
    """Two accounts that share their paths. One sends many ids per call, the other one by one."""
    red = Rules(
        "red", GEELARK, POLICY, group="both", interval_seconds=3.1, batch_size=batch_size, max_in_flight=max_in_flight,
        timeout_seconds=TIMEOUT_SECONDS, lease_seconds=120, breaker=BreakerRules(failures=3),
    )  # fmt: skip
    return {"red": red, "blue": replace(red, account="blue", capabilities=replace(GEELARK, retry_ids=1))}


class OneByOne(GeeLark):
    """Retries one task per call, so that a batch takes several steps."""

    def retries(self, tasks: Sequence[TaskRef]) -> Plan:
        plans = [super(OneByOne, self).retries([task]) for task in tasks]
        return Plan(tuple(call for plan in plans for call in plan.calls))


Note = Callable[[str, float], None]


class WatchedSender(Sender):
    """Notes the moment of every permit."""

    note: Note

    async def retry(
        self, tasks: Sequence[TaskRef], window: Window, plan: Plan | None = None
    ) -> dict[int, Outcome | CheckResult]:
        self.note("retries", window.leave_after)
        return await super().retry(tasks, window, plan)

    async def check(
        self, tasks: Sequence[TaskRef], window: Window, plan: Plan | None = None
    ) -> dict[int, Outcome | CheckResult]:
        self.note("results", window.leave_after)
        return await super().check(tasks, window, plan)


def make_senders(rules: Mapping[str, Rules], note: Note) -> dict[str, Sender]:
    """The real senders with the real provider; only the sockets are ours."""
    found: dict[str, Sender] = {}
    for name, kind in (("red", GeeLark), ("blue", OneByOne)):
        provider = kind(Account(name, "", {"token": "t"}))
        sender = WatchedSender(provider=provider, rules=rules[name], base_url="", concurrency=16, secrets=[])
        sender.note = note
        found[name] = sender
    return found


class House(Stage):
    """What lives from example to example: databases and hooks. Everything else is made anew."""

    play: "Play"
    broker: Broker
    rules: dict[str, Rules]

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self.names = (*WORKERS, *SCHEDULERS, OPERATOR)
        # One pool for all, so that each statement is compiled once; an actor is known by its thread.
        self._database = Database(url, clock=self._moment, pool_size=len(self.names) + 2)
        listen(self._database)
        _careless(self._database)
        self.locks = SqliteLocks() if url.startswith("sqlite") else PostgresLocks(self._database)
        self._auditor = create_engine(url, isolation_level="AUTOCOMMIT")
        self._eyes: Connection = self._auditor.connect()

    def _moment(self) -> datetime:
        """The database is asked for the moment, and may take its time."""
        if (actor := current()) is not None:
            actor.pause(Stop(At.STATEMENT, "asks for the moment"))
            self.play.since[actor] = self.play.rows
        return self.clock.now

    def close(self) -> None:
        self.locks.close()
        self._eyes.close()
        self._auditor.dispose()
        self._database.close()

    # --- For one play -------------------------------------------------------------------------------------------

    def fill(self) -> dict[str, int]:
        """Empty the database, add the tasks and hire everybody."""
        with self._database.transaction() as t:
            for table in reversed(metadata.sorted_tables):
                t.execute(delete(table))
        plan, hire = self.play.plan, {actor.name: actor for actor in self.play.actors}
        self.rules = make_rules(plan.max_in_flight, plan.batch_size)
        self.workers = {hire[name]: self._worker(self.rules) for name in WORKERS}
        self.schedulers = {hire[name]: make_scheduler(self._database, self.broker, self.rules) for name in SCHEDULERS}
        self.operator = People(self._database, self.rules)
        # In the end nobody is in the way of anybody, and everything may go at once.
        calm = {name: replace(own, interval_seconds=0.001, batch_size=100) for name, own in self.rules.items()}
        self.worker, self.scheduler = self._worker(calm), make_scheduler(self._database, self.broker, calm)
        return self.operator.add(TASKS[: plan.tasks])

    def dismiss(self) -> None:
        """The play is over."""
        for worker in (*self.workers.values(), self.worker):
            worker.end()

    def _worker(self, rules: Mapping[str, Rules]) -> Worker:
        return Worker(self, self._database, rules, lambda: make_senders(rules, self.play.note))

    def rows(self) -> audit.Rows:
        return audit.Rows.read(self._eyes)

    def totals(self, rows: audit.Rows) -> Iterator[str]:
        return audit.counted(self._eyes, rows)

    # --- As a stage ---------------------------------------------------------------------------------------------

    def pump(self, *, until: float | None, ready: Callable[[], bool] | None) -> None:
        self.play.pump(until=until, ready=ready)

    def takes_off(self, ask: Ask, batch: int) -> "asyncio.Future[Exchange]":
        return self.play.takes_off(current(), ask, batch)

    def uuid(self) -> UUID:
        """Stands for ``uuid4`` in claims: batches are numbered in the order they are made."""
        return UUID(int=next(self.play.batch_ids))

    def boottime(self) -> float:
        return self.clock.seconds


def _careless(database: Database) -> None:
    """Whether a commit reaches the disk is not what is tested here."""
    if database.engine.dialect.name == "sqlite":
        event.listen(database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))


class Words:
    """Stands for a logger: what the product says belongs to the history."""

    def __init__(self, house: House) -> None:
        self._house = house

    def info(self, event: str, **values: object) -> None:
        actor = current()
        told = " ".join(f"{key}={value}" for key, value in values.items() if key in {"error", "why", "stale"})
        if actor is not None:
            self._house.play.conductor.say(f"{actor} says: {event} {told}".rstrip())

    warning = error = info


CLOCKED = (
    "models.sql.db", "models.ledger.moments", "worker.beginning", "worker.calls", "worker.job", "worker.recording",
    "worker.login", "worker.sender", "worker.trouble", "worker.window", "scheduler.prune",
)  # fmt: skip
"""Modules that count seconds."""


@contextmanager
def lived_in(house: House) -> Iterator[House]:
    """Meanwhile the clock, the waits and the sockets are the house's."""
    words = Words(house)
    with pytest.MonkeyPatch.context() as patch:
        for module in CLOCKED:
            patch.setattr(f"redrive.{module}.boottime", house.boottime)
        for module in ("worker.job", "worker.recording", "worker.sender", "scheduler.service"):
            patch.setattr(f"redrive.{module}.log", words)
        patch.setattr("redrive.worker.sender.HttpClient", partial(Transport, house))
        for wait in ("LONGEST_SECONDS", "BEGIN_SECONDS"):  # each wait is one more place to stop at
            patch.setattr(f"redrive.worker.together.{wait}", 0.0)
        patch.setattr("redrive.models.ledger.claims.uuid4", house.uuid)
        yield house
