"""Who works beside the event loop: threads and a process, each for one purpose, so that none can hold up another.

Nothing here starts before it is needed.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, TypeVarTuple, Unpack

from .child import Child
from .names import Names
from .reading import Found, Question, read

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

INLINE_BYTES: Final = 8 * 1024
"""Answers up to this size are read in the loop itself: it takes less time than handing them over."""
THREAD_BYTES: Final = 256 * 1024
"""Larger ones are read in a process: a thread that parses JSON lets no other run before it is through."""

PERMIT_THREADS: Final = 8
READING_THREADS: Final = 2


class Crew:
    """One per worker process.

    Attributes:
        names: looks up hosts.
        permits: asks the database for permits.
    """

    def __init__(self) -> None:
        self.names = Names()
        self.permits = ThreadPoolExecutor(PERMIT_THREADS, "redrive-permits")
        self._small = ThreadPoolExecutor(READING_THREADS, "redrive-reading")
        self._large = ThreadPoolExecutor(1, "redrive-large")
        self._child = Child()

    async def read(self, question: Question, turn: asyncio.Lock) -> Found:
        """Read an answer where it holds up nobody. ``turn`` is the account's: it has one large answer read at a time.

        Raises:
            ChildFailedError: the process that read it ended, or took too long.
        """
        if question.size <= INLINE_BYTES // max(1, len(question.call.tasks)):  # perhaps once more for each of them
            return read(question)
        loop = asyncio.get_running_loop()
        async with turn:
            if question.size <= THREAD_BYTES:
                return await loop.run_in_executor(self._small, read, question)
            return await loop.run_in_executor(self._large, self._child.read, question)

    async def run(self, size: int, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """Do what takes time with ``size`` bytes, in a thread unless they are few."""
        if size <= INLINE_BYTES:
            return function(*args)
        return await asyncio.get_running_loop().run_in_executor(self._small, function, *args)

    def close(self) -> None:
        """End the process, and the threads as soon as they are idle."""
        self._child.close()
        for threads in (self.permits, self._small, self._large):
            threads.shutdown(wait=False, cancel_futures=True)
