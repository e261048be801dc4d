"""The word that this process ends soon: to threads, which wait for it, and to coroutines, which wait for their moments.

It comes from the handler of a signal, so that it does nothing but pass the word on.
"""

import asyncio
import threading
from contextlib import suppress


class Draining(threading.Event):
    """Set once, when the process must finish what is open and give back the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._waiters: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}

    def set(self) -> None:
        """Say it to all who wait."""
        super().set()
        for waiter, loop in [*self._waiters.items()]:
            with suppress(RuntimeError):  # that loop is closed: nobody waits in it any more
                loop.call_soon_threadsafe(_wake, waiter)

    async def within(self, seconds: float, *, unless: "asyncio.Future[None] | None" = None) -> bool:
        """Wait for it at most so long, or until something else happens; whether the process is draining."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters[waiter] = loop
        try:
            if not self.is_set():  # asked once it would be woken, so that nothing slips between
                others = [] if unless is None else [unless]
                await asyncio.wait([waiter, *others], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._waiters[waiter]
        return self.is_set()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
