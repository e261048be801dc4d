"""Wakes the schedulers as batches end, beside the event loop: a broker that does not answer holds up no batch."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from redrive.models.wake import Waker

REST_SECONDS: Final = 0.05
"""Between two wake-ups: where many batches end, one pass claims for all of them."""


class Bell(Waker):
    """A waker that only passes the word on. What is asked while one wake-up waits to be sent is the same one."""

    def __init__(self, broker_url: str | None) -> None:
        super().__init__(broker_url)
        self._thread = ThreadPoolExecutor(1, "redrive-bell")
        self._rung = False
        self._closing = threading.Event()

    def wake(self) -> None:
        """Wake all schedulers that listen, soon."""
        if not self._rung:
            self._rung = True
            self._thread.submit(self._wake)

    def _wake(self) -> None:
        self._rung = False  # before it is sent: what ends from here on may be missed by who is woken
        super().wake()
        self._closing.wait(REST_SECONDS)

    def close(self) -> None:
        """Send what was asked for, and drop the connections."""
        self._closing.set()
        self._thread.shutdown()
        super().close()
