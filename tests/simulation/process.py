"""One process on the simulated machine: it may wait, lose its database or die between any two steps."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, TypeVar

from sqlalchemy import Engine, make_url

from redrive.models.errors import Locked, Unreachable
from redrive.models.rules import Rules, rules_of
from redrive.models.settings import Settings
from redrive.models.sql.db import NEWEST_LEVEL, WORKER_LOCK_SECONDS, Database, Transaction
from redrive.models.sql.postgresql import Session
from redrive.models.sql.sqlite import BUSY_SECONDS
from tests.simulation.broker import Broker
from tests.simulation.history import History
from tests.simulation.stage import Actor, Killed, Stage, owner
from tests.simulation.waits import Event

T = TypeVar("T")

SLOWEST_COMMIT_SECONDS = 0.03


@dataclass
class Weather:
    """How the machine and its database behave now.

    Attributes:
        host_writes_until: how long SQLite's only lock is a host's.
    """

    database_fails: float = 0.0
    database_is_away: bool = False
    stalls: float = 0.0
    host_writes_until: float = 0.0


@dataclass
class Machine:
    """What all processes share.

    Attributes:
        settings, rules: what a process that starts now reads.
        ever: all rules that there ever were.
    """

    stage: Stage
    history: History
    rng: Random
    broker: Broker
    engine: Engine
    url: str
    settings: Settings
    rules: dict[str, Rules]
    weather: Weather = field(default_factory=Weather)
    schedulers: list["Process"] = field(default_factory=list)
    workers: list["Process"] = field(default_factory=list)
    next_moment: Callable[[], float | None] = lambda: None

    def __post_init__(self) -> None:
        self.ever = [self.rules]

    def configured(self, settings: Settings) -> None:
        """The file was changed: whoever starts from now on reads this."""
        self.settings, self.rules = settings, rules_of(settings)
        self.ever.append(self.rules)

    def wake_schedulers(self) -> None:
        for process in self.schedulers:
            process.wake.set()

    @property
    def processes(self) -> list["Process"]:
        return [*self.schedulers, *self.workers]


class SimulatedDatabase(Database):
    """The real database over the shared engine: around each transaction a process may wait, die or lose it."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self.url = make_url(process.machine.url)
        self.clock = process.machine.stage.stored_now
        self.engine = process.machine.engine
        self.level = NEWEST_LEVEL
        self.schema = None
        postgres = self.url.get_backend_name() == "postgresql"
        self._session = Session(self.shown, WORKER_LOCK_SECONDS) if postgres else None

    @contextmanager
    def _begin(self, engine: Engine) -> Iterator[Transaction]:
        self._process.point("before a transaction", breaks=True)
        if engine is self.engine:
            self._process.wait_for_host()
        with super()._begin(engine) as t:
            yield t
            self._process.point("before a commit", breaks=True, waits=False)
        self._process.committed()
        self._process.point("after a commit", breaks=True)

    def close(self) -> None:
        """The engine is everybody's."""


def _settle(future: "asyncio.Future[T]", function: Callable[[], T]) -> None:
    """Tell the one who waits what came of it; of the dead he hears nothing."""
    try:
        found = function()
    except Exception as error:  # noqa: BLE001 - whoever waits gets it
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(found)


class Desk:
    """Stands for the threads that do the database steps of batches."""

    threads = 8

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def step(self, function: Callable[..., T], *args: Any) -> T:
        return await self._process.do(partial(function, *args))

    begin = step

    def close(self) -> None:
        """Its actors end with their process."""


class Process:
    """One process: actors, coroutines, and an end that may come at any of its points.

    Attributes:
        settings, rules: as they were in the file when it started.
        dies_in: points left to live; None lives on.
    """

    def __init__(self, machine: Machine, name: str, *, dies_in: int | None = None) -> None:
        self.machine = machine
        self.name = name
        self.settings = machine.settings
        self.rules = machine.rules
        self.dead = Event(machine.stage)
        self.gone = asyncio.Event()
        self.wake = Event(machine.stage)
        self._dies_in = dies_in
        self._actors: list[Actor] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self.database = SimulatedDatabase(self)

    def act(self, body: Callable[[], object]) -> Actor:
        """Run blocking code in this process."""
        actor = Actor(self.machine.stage, body, self._ended)
        self._actors.append(actor)
        return actor

    alive = True  # as an event loop is

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine in this process, and all that it starts."""
        context = copy_context()
        context.run(owner.set, self)
        self.machine.stage.loop.create_task(self._watched(coroutine), context=context)

    async def _watched(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            await coroutine
        except Exception as error:  # noqa: BLE001 - nothing of the product's may fail so
            self._ended(error)

    def owns(self, task: asyncio.Task[Any]) -> None:
        """The task is this process's, and ends with it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def do(self, function: Callable[[], T]) -> T:
        """Run blocking code in this process, and wait for what comes of it."""
        future: asyncio.Future[T] = self.machine.stage.loop.create_future()
        actor = self.act(lambda: _settle(future, function))
        self.acts_for(actor, asyncio.current_task())
        try:
            return await future
        finally:
            self._actors.remove(actor)

    def acts_for(self, actor: Actor, task: asyncio.Task[Any] | None) -> None:
        """An actor begins to act for a coroutine."""

    def hear(self, calls: list[asyncio.Task[Any]]) -> None:
        """The current task has taken the answers of these."""

    def committed(self) -> None:
        """The acting one's transaction is committed."""

    def point(self, where: str, *, breaks: bool = False, waits: bool = True) -> None:
        """A moment between two steps: the process may die here, wait, or find the database gone."""
        if self.dead.is_set():
            raise Killed
        acting = self.machine.stage.actor is not None
        if acting and self._dies_in is not None:
            self._dies_in -= 1
            if self._dies_in <= 0:
                self.machine.history.fault(self.name, "killed", where)
                self._die()
                raise Killed
        self._fail(where, breaks=breaks)
        if acting and waits:
            self._wait()

    def _fail(self, where: str, *, breaks: bool) -> None:
        machine = self.machine
        if not breaks:
            return
        if machine.weather.database_is_away or machine.rng.random() < machine.weather.database_fails:
            machine.history.fault(self.name, "database lost", where)
            raise Unreachable("database: simulated")

    def _wait(self) -> None:
        machine = self.machine
        seconds = machine.rng.uniform(0.0005, SLOWEST_COMMIT_SECONDS)
        if machine.rng.random() < machine.weather.stalls:
            seconds = machine.rng.choice((0.5, 1.5, 4.0, 20.0)) * machine.rng.uniform(0.5, 1.5)
            machine.history.fault(self.name, "stalled", f"{seconds:.1f} s")
        machine.stage.sleep(seconds)

    def wait_for_host(self) -> None:
        """SQLite has one writer. One that is somebody else's for too long is given up."""
        stage = self.machine.stage
        left = self.machine.weather.host_writes_until - stage.seconds
        if left <= 0 or stage.actor is None:
            return
        stage.sleep(min(left, BUSY_SECONDS))
        if left > BUSY_SECONDS:
            raise Locked("database: simulated: another transaction writes")

    def live_on(self) -> None:
        """It dies of nothing any more."""
        self._dies_in = None

    def end(self) -> None:
        """SIGTERM."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL, from outside."""
        if not self.dead.is_set():
            self.machine.history.fault(self.name, "killed", "from outside")
            self._die()

    def _die(self) -> None:
        self.dead.set()
        self.machine.stage.loop.call_soon(self._bury)

    def _bury(self) -> None:
        for task in sorted(self._tasks, key=asyncio.Task.get_name):
            task.cancel()
        for actor in [*self._actors]:
            actor.kill()
        self.buried()
        self.gone.set()

    def buried(self) -> None:
        """What its end does to others."""

    def _ended(self, error: BaseException | None) -> None:
        if error is not None:
            self.machine.history.violation(f"{self.name}: {type(error).__name__}: {error}")
