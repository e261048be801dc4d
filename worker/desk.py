"""Where batches have their database steps done: a few threads, so that whoever waits for its moment holds none.

A batch takes a thread, and with it a connection, for the length of a transaction. Where there are more steps than
threads, most of them are steps of begun batches, so that no lease ends over batches that could wait with the broker;
but some are begins, so that no account with much to do keeps another one from beginning.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import cycle
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MOST_THREADS: Final = 12
"""A worker has sixteen connections, of which some are for permits, hosts' wishes and its sign of life."""

STEPS_A_BEGIN: Final = 4
"""So many steps are done before a begin's turn comes, where both wait."""

_Errand = tuple[Callable[[], Any], "Future[Any]"]


class Desk:
    """One per worker process; its threads start as they are needed.

    Args:
        threads: steps at once; never more than there are connections for.
    """

    def __init__(self, threads: int = MOST_THREADS) -> None:
        self.threads = min(threads, MOST_THREADS)
        self._executor = ThreadPoolExecutor(self.threads, "redrive-desk")
        self._steps: deque[_Errand] = deque()
        self._begins: deque[_Errand] = deque()
        self._turns = cycle([self._begins, *[self._steps] * STEPS_A_BEGIN])
        self._taking = threading.Lock()

    async def step(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """Do a step of a begun batch."""
        return await self._done(self._steps, partial(function, *args))

    async def begin(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """Begin a batch, when its turn comes."""
        return await self._done(self._begins, partial(function, *args))

    async def _done(self, queue: deque[_Errand], function: Callable[[], T]) -> T:
        future: Future[T] = Future()
        queue.append((function, future))
        self._executor.submit(self._do_next)
        return await asyncio.wrap_future(future)

    def _do_next(self) -> None:
        """The next errand: there is one for each call of this."""
        with self._taking:
            function, future = next(filter(None, self._turns)).popleft()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            future.set_exception(error)

    def close(self) -> None:
        """End the threads as soon as they are idle."""
        self._executor.shutdown(wait=False, cancel_futures=True)
