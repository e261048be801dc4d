"""The event loop of a worker process, in a thread of its own."""

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class EventLoop:
    """Runs coroutines for threads that wait for them.

    Its thread does not survive a fork, so it is built in the process that uses it, at first use.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._new: deque[tuple[Coroutine[Any, Any, Any], Future[Any]]] = deque()
        self._woken = False
        self._running: set[asyncio.Task[Any]] = set()  # the loop itself holds them weakly
        self._thread = threading.Thread(target=self._run, name="redrive-http", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; its future is not for canceling. Not to be called once ``close`` was.

        What many calls submit is started at one waking of the loop: ``asyncio.run_coroutine_threadsafe`` wakes it for
        each of them.
        """
        future: Future[T] = Future()
        self._new.append((coroutine, future))
        if not self._woken:  # else it starts what is there when it comes to it, this too
            self._woken = True
            self._loop.call_soon_threadsafe(self._start)
        return future

    def _start(self) -> None:
        self._woken = False
        while self._new:
            coroutine, future = self._new.popleft()
            task = self._loop.create_task(coroutine)
            self._running.add(task)
            task.add_done_callback(partial(self._tell, future))

    def _tell(self, future: Future[Any], task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
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
            runner.run(self._wait())

    async def _wait(self) -> None:
        await self._closing.wait()
