"""How many calls of an account may be open at once, in one process."""

import threading
from collections.abc import Callable

AHEAD_SECONDS = 0.5
"""What is opened shall leave within this time: an open attempt that a crash leaves behind is spent."""
MOST = 1000


class Slots:
    """Open calls: as many as there are connections, or as will find one soon where calls are quick.

    Args:
        concurrency: calls at once.
        call_seconds: how long a call takes at present; 0 when not known yet.
    """

    def __init__(self, concurrency: int, call_seconds: Callable[[], float]) -> None:
        self._concurrency = concurrency
        self._call_seconds = call_seconds
        self._taken = 0
        self._changed = threading.Condition()

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

    def take(self, wanted: int, *, wait_seconds: float = 0) -> int:
        """Take at most so many.

        Waits for a fair part of them: whoever took every single one as it comes would open his calls one by one.
        """
        with self._changed:
            if wait_seconds:
                self._changed.wait_for(lambda: self._free >= min(wanted, max(1, self.capacity // 4)), wait_seconds)
            taken = max(0, min(wanted, self._free))
            self._taken += taken
            return taken

    def give_back(self, number: int) -> None:
        """The calls are over, or were not made."""
        if number > 0:
            with self._changed:
                self._taken -= number
                self._changed.notify_all()

    @property
    def _free(self) -> int:
        return self.capacity - self._taken
