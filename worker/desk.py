"""Where batches have their database steps done: a few threads, so that a batch that waits for its moment holds none.

A batch takes a thread, and with it a connection, for the length of a transaction. Where more is wanted than threads can
do, steps of begun batches and begins take turns, so that no account with much to do keeps another one from beginning.
A worker that falls behind with steps begins little: what it does not begin, another one can.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar, TypeVarTuple, Unpack

from redrive.models.clock import boottime

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MOST_THREADS: Final = 12
"""A worker has sixteen connections, of which some are for permits, hosts' wishes and its sign of life."""

BEHIND_SECONDS: Final = 10.0
"""A step that waits so long shows that more is begun than can be done: leases would end over it."""


class _Errand(NamedTuple):
    function: Callable[[], Any]
    future: Future[Any]
    since: float


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
        self._turn = 0
        self._taking = threading.Lock()

    async def step(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """Do a step of a begun batch."""
        return await self._done(self._steps, partial(function, *args))

    async def begin(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """Begin a batch, when its turn comes."""
        return await self._done(self._begins, partial(function, *args))

    async def _done(self, queue: deque[_Errand], function: Callable[[], T]) -> T:
        future: Future[T] = Future()
        queue.append(_Errand(function, future, boottime()))
        self._executor.submit(self._do_next)
        return await asyncio.wrap_future(future)

    def _do_next(self) -> None:
        """The next errand: there is one for each call of this."""
        with self._taking:
            function, future, _ = self._next().popleft()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - the one who waits for it gets it
            future.set_exception(error)

    def _next(self) -> deque[_Errand]:
        """Where the next errand is taken from; one of them has one."""
        behind = self._steps and boottime() - self._steps[0].since > BEHIND_SECONDS
        self._turn = (self._turn + 1) % (8 if behind else 2)
        return (self._steps or self._begins) if self._turn else (self._begins or self._steps)

    def close(self) -> None:
        """End the threads as soon as they are idle."""
        self._executor.shutdown(wait=False, cancel_futures=True)
