"""Schedulers and workers: what they held when they die is lost, what they sent is not."""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from redrive.models import jobs
from redrive.models.errors import Unreachable
from redrive.models.wake import Waker
from redrive.scheduler.publish import Publisher
from redrive.scheduler.service import Scheduler
from redrive.worker import job
from redrive.worker.deps import Deps
from redrive.worker.draining import Draining
from redrive.worker.sender import Sender
from tests.simulation.broker import Message
from tests.simulation.process import Desk, Machine, Process
from tests.simulation.waits import Event

if TYPE_CHECKING:
    from tests.simulation.stage import Actor

FIRST_IDLE_SECONDS, LONGEST_IDLE_SECONDS = 5.0, 240.0


class _Waiting:
    """A scheduler's wait: till it is woken, till something falls due, or ever longer while nothing happens."""

    def __init__(self, process: "SchedulerProcess") -> None:
        self._process = process
        self._idle = 0.0

    def wait(self, seconds: float) -> None:
        process = self._process
        self._idle = min(max(FIRST_IDLE_SECONDS, 2 * self._idle), LONGEST_IDLE_SECONDS)
        due = process.machine.next_moment()
        # Sometimes right when it falls due, where races are, and mostly whenever a poll happens to come.
        due = self._idle if due is None else max(due + 0.001, process.rng.choice((0.0, seconds, 3 * seconds)))
        if process.wake.wait(min(self._idle, due)):
            self._idle = 0.0
        process.wake.clear()


class SchedulerProcess(Process):
    """The real scheduler and its loop."""

    def __init__(self, machine: Machine, name: str, rng: Random, *, dies_in: int | None = None) -> None:
        super().__init__(machine, name, dies_in=dies_in)
        self.rng = rng
        self.stop = Event(machine.stage)
        publisher = Publisher("memory://", jobs.Queues("simulation"))
        publisher._app = cast("Any", machine.broker)
        self.scheduler = Scheduler(self.database, publisher, self.settings, self.rules, rng)
        machine.schedulers.append(self)
        self.act(self._main)

    def _main(self) -> None:
        stop, waiting = cast("Any", self.stop), cast("Any", _Waiting(self))
        while not self.stop.is_set():
            try:
                self.scheduler.start()
                break
            except Unreachable:
                stop.wait(1.0)
        self.scheduler.run(stop, waiting)
        self._die()

    def end(self) -> None:
        """SIGTERM: it ends after its pass."""
        self.stop.set()
        self.wake.set()

    def buried(self) -> None:
        if self in self.machine.schedulers:
            self.machine.schedulers.remove(self)


class _Waker(Waker):
    """A job's word to the schedulers; it is lost now and then."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(None)
        self._machine = machine

    def wake(self) -> None:
        if self._machine.rng.random() < 0.5:
            self._machine.stage.loop.call_later(self._machine.rng.uniform(0.001, 0.01), self._machine.wake_schedulers)


class WorkerProcess(Process):
    """A worker: the messages it takes become jobs, side by side."""

    def __init__(
        self,
        machine: Machine,
        name: str,
        rng: Random,
        senders: Callable[["WorkerProcess"], Mapping[str, Sender]],
        *,
        dies_in: int | None = None,
    ) -> None:
        super().__init__(machine, name, dies_in=dies_in)
        self.draining = Draining()
        self.jobs = 0
        self._heard: dict[asyncio.Task[Any] | None, list[asyncio.Task[Any]]] = {}
        self._acting: dict[Actor, asyncio.Task[Any] | None] = {}
        self.deps = Deps(
            self.database, self.rules, senders(self), cast("Any", self), _Waker(machine), name, rng=rng,
            draining=self.draining, desk=cast("Any", Desk(self)),
        )  # fmt: skip
        self.recorded: Callable[[asyncio.Task[Any]], None] = lambda _: None
        self.worked: Callable[[str, dict[str, int]], None] = lambda _id, _counts: None
        machine.workers.append(self)
        machine.broker.consume(self.take)

    def take(self, message: Message) -> bool:
        """A message; a process that ends takes none."""
        if self.dead.is_set() or self.draining.is_set():
            return False
        self.jobs += 1
        self.start(self._job(message))
        return True

    async def _job(self, message: Message) -> None:
        assert message.name in {jobs.RETRY, jobs.CHECK}
        try:
            counts = await job.work_on(self.deps, UUID(message.batch_id))
            self.worked(message.batch_id, counts)
        finally:
            self.jobs -= 1
            self._end_when_idle()

    def acts_for(self, actor: "Actor", task: asyncio.Task[Any] | None) -> None:
        self._acting[actor] = task

    def hear(self, calls: list[asyncio.Task[Any]]) -> None:
        self._heard.setdefault(asyncio.current_task(), []).extend(calls)

    def committed(self) -> None:
        actor = self.machine.stage.actor
        task = self._acting.pop(actor, None) if actor is not None else None
        for call in self._heard.pop(task, []) if task is not None else []:
            self.recorded(call)

    def end(self) -> None:
        """SIGTERM: it ends when its jobs have."""
        self.draining.set()
        self._end_when_idle()

    def _end_when_idle(self) -> None:
        if self.draining.is_set() and not self.jobs and not self.dead.is_set():
            self._die()

    def buried(self) -> None:
        self.machine.broker.leave(self.take)
        if self in self.machine.workers:
            self.machine.workers.remove(self)
