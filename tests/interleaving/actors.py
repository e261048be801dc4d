"""Schedulers, workers and people: the product's own code, with the broker, the waits and the calls in our hands."""

import asyncio
import selectors
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from redrive.models import ledger
from redrive.models.ledger import Batch, NewTask, Who
from redrive.models.rules import Rules
from redrive.models.settings import Settings
from redrive.models.sql.db import Database
from redrive.models.states import Status
from redrive.scheduler.publish import Publisher
from redrive.scheduler.service import Scheduler
from redrive.worker import job
from redrive.worker.deps import Deps
from redrive.worker.sender import Sender
from tests.interleaving.clock import Clock
from tests.interleaving.conductor import At, Stop, current

if TYPE_CHECKING:
    from redrive.worker.providers.base import Exchange
    from tests.interleaving.provider import Ask

T = TypeVar("T")

NEVER = float("inf")
PEOPLE = Who("operator", "to see what happens")


batch: ContextVar[int] = ContextVar("batch", default=0)
"""Whose calls these are."""


class Stage:
    """What actors call where the product would wait or call out. The play behind it changes with every example."""

    clock: Clock

    def pump(self, *, until: float | None, ready: Callable[[], bool] | None) -> None:
        """Let time pass and calls be answered, for who is no actor."""
        raise NotImplementedError

    def takes_off(self, ask: "Ask", batch: int) -> "asyncio.Future[Exchange]":
        """A call is under way."""
        raise NotImplementedError

    def wait(self, words: str, *, until: float | None = None, ready: Callable[[], bool] | None = None) -> None:
        if (actor := current()) is None:
            self.pump(until=until, ready=ready)
        else:
            actor.pause(Stop(At.WAIT, words, until, ready))


class _Waits(selectors.SelectSelector):
    """Where an event loop would wait for sockets and for time, its actor stops."""

    loop: "Loop"

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            until = None if timeout is None else self._stage.clock.seconds + timeout
            self._stage.wait("has waited", until=until, ready=lambda: bool(self.loop._ready))  # type: ignore[attr-defined]
        return []


class Loop(asyncio.SelectorEventLoop):
    """A worker's event loop, in the thread of whoever acts: its time is the clock's, its calls are the conductor's."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        waits = _Waits(stage)
        super().__init__(waits)
        waits.loop = self
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._stage.clock.seconds

    def abandon(self) -> None:
        """Its process is gone: nothing of it goes on."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.close()


class Desk:
    """Does the steps of batches in the thread of whoever acts."""

    threads = 1

    async def step(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)

    begin = step

    def close(self) -> None: ...


class Waker:
    """Schedulers look whenever something has changed; nobody needs to wake them here."""

    def wake(self) -> None: ...


@dataclass
class Broker(Publisher):
    """Carries batch ids: it may lose one, and bring one twice."""

    messages: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    loses: int = 0

    @property
    def silent(self) -> bool:
        return False

    def send(self, batch: Batch) -> bool:
        if (actor := current()) is not None:
            actor.pause(Stop(At.DEED, f"publish batch {batch.id.int}"))
        self.known.append(batch.id.int)
        if self.loses:
            self.loses -= 1
        else:
            self.messages.append(batch.id.int)
        return True


@dataclass
class Worker:
    """A worker process, made anew after each crash."""

    stage: Stage
    database: Database
    rules: Mapping[str, Rules]
    make_senders: Callable[[], Mapping[str, Sender]]
    deps: Deps = field(init=False)
    _loop: Loop | None = None

    def __post_init__(self) -> None:
        self.restart()

    def end(self) -> None:
        if self._loop is not None:
            self._loop.abandon()

    def restart(self) -> None:
        self.end()
        self._loop = Loop(self.stage)
        own: Any = (self._loop, Waker(), "worker")
        desk: Any = Desk()
        self.deps = Deps(self.database, self.rules, self.make_senders(), *own, rng=Random(1), desk=desk)

    def run(self, number: int) -> dict[str, int]:
        assert self._loop is not None
        context = copy_context()
        context.run(batch.set, number)
        return self._loop.run_until_complete(
            self._loop.create_task(job.work_on(self.deps, UUID(int=number)), context=context)
        )


def make_scheduler(database: Database, broker: Broker, rules: Mapping[str, Rules]) -> Scheduler:
    """A scheduler that leaves old rows alone: pruning has tests of its own."""
    scheduler = Scheduler(database, broker, Settings(), dict(rules), Random(1))
    scheduler.pruner._next_turn = NEVER
    return scheduler


# --- People -----------------------------------------------------------------------------------------------------------


@dataclass
class People:
    """The operator and the tasks' owner."""

    database: Database
    rules: Mapping[str, Rules]

    def act(self, what: str, task_id: int) -> None:
        with self.database.transaction() as t:
            ledger.act(t, what, [task_id], self.rules, PEOPLE)

    def pause(self, account: str) -> None:
        with self.database.transaction() as t:
            ledger.pause(t, account, PEOPLE)

    def resume(self, account: str) -> None:
        with self.database.transaction() as t:
            ledger.resume(t, account, PEOPLE)

    def report(self, task_id: int, status: Status, at: datetime) -> None:
        """What the owner has learned from the provider."""
        with self.database.transaction() as t:
            ledger.report(t, [task_id], self.rules, status, at=at, reason="")

    def add(self, tasks: Sequence[tuple[str, str]]) -> dict[str, int]:
        new = [NewTask(account=account, kind="", external_id=id_) for id_, account in tasks]
        with self.database.transaction() as t:
            ledger.ensure(t, {account: rules.provider for account, rules in self.rules.items()})
            return {x.external_id: added.id for x, added in zip(new, ledger.add(t, new, self.rules), strict=True)}
