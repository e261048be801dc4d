"""How many calls of an account may be open at once, in one process."""

import asyncio
import threading
from collections.abc import Callable

AHEAD_SECONDS = 0.5
"""What is opened must leave within this time: an open attempt that a crash leaves behind is spent."""
MOST = 1000


class Slots:
    """Open calls: as many as there are connections, or as will find one soon where calls are quick.

    They are taken and given back in any thread, and waited for in the event loop.

    An attempt is committed before its call leaves, and what is opened counts: a crash spends every attempt that was
    opened ahead and had not left. Opening as many as there are connections would keep these idle during every commit
    where calls are quick; opening all that the permits allow would spend as many attempts in one crash. So there
    are as many open as leave within :data:`AHEAD_SECONDS` at the speed of the last calls.

    The race is in giving back: a slot becomes free in the thread that records, while the loop counts and begins to
    wait. Slots are counted under a lock, and being woken gives none: the caller asks :meth:`take` again. A slot that
    becomes free between count and wait costs at most the caller's timeout and is never lost. An ``asyncio.Semaphore``
    does not work instead: it belongs to the loop's thread, and its number is fixed. A ``threading.Semaphore`` would
    block the loop. Both give slots one by one, and each attempt would be opened in a transaction of its own.

    Args:
        concurrency: calls at once.
        call_seconds: how long a call takes at present; 0 when not known yet.
    """

    def __init__(self, concurrency: int, call_seconds: Callable[[], float]) -> None:
        self._concurrency = concurrency
        self._call_seconds = call_seconds
        self._taken = 0
        self._lock = threading.Lock()
        self._waiters: dict[asyncio.Future[None], int] = {}

    @property
    def taken(self) -> int:
        """Calls that are open now."""
        return self._taken

    @property
    def capacity(self) -> int:
        """How many may be."""
        seconds = self._call_seconds()
        ahead = int(self._concurrency * AHEAD_SECONDS / seconds) if seconds > 0 else 0
        return max(self._concurrency, min(ahead, MOST))

    def take(self, wanted: int) -> int:
        """Take at most so many."""
        with self._lock:
            taken = max(0, min(wanted, self._free))
            self._taken += taken
            return taken

    async def wait(self, wanted: int, seconds: float) -> None:
        """Wait for a fair part of so many, but no longer than this.

        A batch that took every single one as it comes would open its calls one by one.
        """
        fair = min(wanted, max(1, self.capacity // 4))
        if self._free >= fair:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = fair
        try:
            await asyncio.wait([waiter], timeout=seconds)
        finally:
            del self._waiters[waiter]

    def give_back(self, number: int) -> None:
        """The calls are over, or were not made."""
        if number <= 0:
            return
        with self._lock:
            self._taken -= number
        for waiter, fair in [*self._waiters.items()]:
            if self._free >= fair:
                waiter.get_loop().call_soon_threadsafe(_wake, waiter)

    @property
    def _free(self) -> int:
        return self.capacity - self._taken


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
