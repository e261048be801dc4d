"""The event loop of a worker process, in a thread of its own."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import structlog

from .guard import words_of

T = TypeVar("T")

log = structlog.get_logger("redrive.worker")


class LoopDiedError(RuntimeError):
    """The loop ended, so the answer will not come. What was sent may have arrived."""


class EventLoop:
    """Runs coroutines for threads that wait for them.

    Its thread does not survive a fork, so it is built in the process that uses it, at first use.

    Args:
        died: called once in the thread when it ends without having been closed: nothing can be sent any more.
    """

    def __init__(self, died: Callable[[], None] = lambda: None) -> None:
        self._died = died
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._new: deque[tuple[Coroutine[Any, Any, Any], Future[Any]]] = deque()
        self._woken = False
        self._running: dict[asyncio.Task[Any], Future[Any]] = {}  # the loop itself holds them weakly
        self._over = False
        self._thread = threading.Thread(target=self._run, name="redrive-http", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs what is submitted. Without it nobody should begin a batch."""
        return self._thread.is_alive() and not self._over

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; its future is not for canceling. Not to be called once ``close`` was.

        What many calls submit is started at one waking of the loop: ``asyncio.run_coroutine_threadsafe`` wakes it for
        each of them.
        """
        future: Future[T] = Future()
        self._new.append((coroutine, future))
        if self._over:
            self._fail_all()
        elif not self._woken:  # else it starts what is there when it comes to it, this too
            self._woken = True
            self._loop.call_soon_threadsafe(self._start)
        return future

    def _start(self) -> None:
        self._woken = False
        while self._new:
            coroutine, future = self._new.popleft()
            task = self._loop.create_task(contained(coroutine))
            self._running[task] = future
            task.add_done_callback(partial(self._tell, future))

    def _tell(self, future: Future[Any], task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if future.done():  # it has its error already: the loop ended
            return
        if task.cancelled():
            future.cancel()
            future.set_running_or_notify_cancel()
        elif (error := task.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())

    def close(self) -> None:
        """Cancel what is under way and end the thread; a second call is harmless."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._wait())
            except BaseException as error:  # noqa: BLE001 - there is nobody above to take it
                log.critical("loop.died", error=words_of(error))
            self._over = True
            if not self._closing.is_set():
                self._fail_all()
                self._died()

    def _fail_all(self) -> None:
        """Those that wait for an answer learn that none will come."""
        futures = [*self._running.values()]
        while self._new:
            coroutine, future = self._new.popleft()
            coroutine.close()
            futures.append(future)
        for future in futures:
            if not future.done():
                future.set_exception(LoopDiedError("the event loop of this process has ended"))

    async def _wait(self) -> None:
        await self._closing.wait()


async def contained(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine, which must not end the loop of all others: asyncio lets these two through."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"{words_of(error)} in a coroutine") from error
