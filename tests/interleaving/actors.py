"""Schedulers, workers and people: the product's own code, with the broker, the waits and the calls in our hands."""

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ALL_COMPLETED, Future
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from models import ledger
from models.db import Database
from models.ledger import Batch, NewTask, Who
from models.rules import Rules
from models.settings import Settings
from models.states import Status
from scheduler.publish import Publisher
from scheduler.service import Scheduler
from worker import job
from worker.deps import Deps
from worker.sender import Sender

from .clock import Clock
from .conductor import At, Stop, current

NEVER = float("inf")
PEOPLE = Who("operator", "to see what happens")


class Stage:
    """What actors call where the product would wait or call out. The play behind it changes with every example."""

    clock: Clock

    def pump(self, *, until: float | None, ready: Callable[[], bool] | None) -> None:
        """Let time pass and calls be answered, for who is no actor."""
        raise NotImplementedError

    def takes_off(self, coroutine: Coroutine[Any, Any, Any], batch: int) -> "Future[Any]":
        """A call is under way."""
        raise NotImplementedError

    def wait(self, words: str, *, until: float | None = None, ready: Callable[[], bool] | None = None) -> None:
        if (actor := current()) is None:
            self.pump(until=until, ready=ready)
        else:
            actor.pause(Stop(At.WAIT, words, until, ready))

    def wait_for_calls(
        self, calls: "Collection[Future[Any]]", timeout: float | None = None, return_when: str = ALL_COMPLETED
    ) -> "tuple[set[Future[Any]], set[Future[Any]]]":
        """Stands for ``concurrent.futures.wait``."""
        enough = all if return_when == ALL_COMPLETED else any

        def ready() -> bool:
            return enough(call.done() for call in calls)

        if not ready():
            until = None if timeout is None else self.clock.seconds + timeout
            self.wait("has waited for answers", until=until, ready=ready)
        done = {call for call in calls if call.done()}
        return done, set(calls) - done

    def sleep(self, seconds: float) -> None:
        """Stands for ``time.sleep``."""
        self.wait(f"has slept {seconds:g} s", until=self.clock.seconds + seconds)


@dataclass
class Draining:
    """Stands for the event that a worker is told to stop by."""

    stage: Stage
    told: bool = False

    def set(self) -> None:
        self.told = True

    def is_set(self) -> bool:
        return self.told

    def wait(self, seconds: float) -> bool:
        if not self.told:
            until = self.stage.clock.seconds + seconds
            self.stage.wait(f"has waited {seconds:g} s", until=until, ready=self.is_set)
        return self.told


@dataclass
class Loop:
    """Stands for the worker's event loop: its calls leave when the conductor says so."""

    stage: Stage
    batch: int = 0
    alive: bool = True

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> "Future[Any]":
        return self.stage.takes_off(coroutine, self.batch)


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

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        own: Any = (Loop(self.stage), Waker(), "worker")
        draining: Any = Draining(self.stage)
        self.deps = Deps(self.database, self.rules, self.make_senders(), *own, rng=Random(1), draining=draining)

    def run(self, batch: int) -> dict[str, int]:
        loop: Any = self.deps.loop
        loop.batch = batch
        return job.run(self.deps, UUID(int=batch))


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
