"""One thing at a time: an event loop over virtual time, and blocking code on threads of which only one ever runs.

Whoever waits hands the baton back to the loop, which jumps to the moment at which something happens next. Nothing
sleeps, and no two threads ever compete, so that a history depends on nothing but its seed.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BOOTED = 1000.0
"""What the machine's clock shows at the start."""


class Killed(BaseException):
    """The process of this code is dead: nothing of it may go on, and no handler of errors may hold it up."""


class Stalled(BaseException):
    """Nothing is left that could ever happen."""


def _baton() -> threading.Lock:
    """Nobody has it: whoever takes it waits until it is handed over."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class _NoSockets(selectors.SelectSelector):
    """Waiting for sockets is waiting for nothing: time passes instead."""

    def __init__(self, stage: "Stage") -> None:
        super().__init__()
        self._stage = stage

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stalled
        self._stage.seconds += max(0.0, timeout)
        return []


class Owner(Protocol):
    """Whose tasks end with it."""

    def owns(self, task: "asyncio.Task[Any]") -> None: ...


owner: ContextVar[Owner] = ContextVar("owner")
"""Whose code this is; the tasks that it starts inherit it."""


def _task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: Context | None = None
) -> "asyncio.Task[Any]":
    """A task. Its name is when it began: what began before something was known may still be finished."""
    task = asyncio.Task(coroutine, loop=loop, name=repr(loop.time()), context=context)
    if (process := (context or copy_context()).get(owner)) is not None:
        process.owns(task)
    return task


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while nothing is to be done."""

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage
        super().__init__(_NoSockets(stage))
        self._clock_resolution = 1e-6
        self.set_task_factory(_task)

    def time(self) -> float:
        return self._stage.seconds

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """At once: a thread beside this one would make two things happen at a time."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits it gets it
            future.set_exception(error)
        return future


class Stage:
    """The virtual time, and who is acting.

    Attributes:
        database_ahead: by how much the database's clock is wrong.
        calendar_ahead: the same of the machine's calendar, which workers sign by.
    """

    def __init__(self) -> None:
        self.seconds = BOOTED
        self.loop = Loop(self)
        self.actor: Actor | None = None
        self.back = _baton()
        self.database_ahead = self.calendar_ahead = timedelta()

    def boottime(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds - BOOTED)

    def stored_now(self) -> datetime:
        """What the database takes for now."""
        return self.now() + self.database_ahead

    @property
    def elapsed(self) -> float:
        return self.seconds - BOOTED

    def let_act(self, actor: "Actor") -> None:
        """Hand the baton over until it comes back. Only the loop does."""
        assert self.actor is None, "two actors at a time"
        self.actor = actor
        actor.go.release()
        self.back.acquire()
        self.actor = None

    def sleep(self, seconds: float) -> None:
        """The acting one waits so long, whoever wakes it."""
        assert self.actor is not None, "only an actor can wait"
        deadline = self.seconds + seconds
        while (left := deadline - self.seconds) > 0:
            self.actor.pause(left)


class Actor:
    """Blocking code with a thread of its own. It runs when the stage lets it, until it waits or ends."""

    def __init__(self, stage: Stage, body: Callable[[], object], ended: Callable[[BaseException | None], None]) -> None:
        self.go = _baton()
        self.alive = True
        self._stage = stage
        self._body = body
        self._ended = ended
        self._killed = False
        self._waiting = True
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()
        stage.loop.call_soon(self._act)

    def wake(self) -> None:
        """What it waits for may have happened."""
        if self._waiting and self.alive:
            self._stage.loop.call_soon(self._act)

    def kill(self) -> None:
        """Let it unwind; for the loop only."""
        if self.alive:
            self._killed, self._waiting = True, True
            self._act()

    def pause(self, seconds: float | None) -> None:
        if self._killed:
            raise Killed
        self._waiting = True
        timer = None if seconds is None else self._stage.loop.call_later(max(0.0, seconds), self._act)
        self._stage.back.release()
        self.go.acquire()
        if timer is not None:
            timer.cancel()
        if self._killed:
            raise Killed

    def _act(self) -> None:
        if self._waiting and self.alive:
            self._waiting = False
            self._stage.let_act(self)

    def _main(self) -> None:
        self.go.acquire()
        error: BaseException | None = None
        try:
            if not self._killed:
                self._body()
        except Killed:
            pass
        except BaseException as raised:  # noqa: BLE001 - whoever started it judges
            error = raised
        self.alive = False
        try:
            self._ended(error)
        finally:
            self._stage.back.release()
