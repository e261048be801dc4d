"""Child processes kept alive: started in order, started again when they die, stopped in the opposite order.

Each is in a session of its own, so that Ctrl-C at a terminal reaches the supervisor alone, which then lets them
finish what they hold.
"""

import asyncio
import errno
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .orphans import Sweeper, signal_group

BACKOFF_SECONDS = (1, 2, 4, 8, 16, 30)
SHORT_LIFE_SECONDS = 60.0
"""What lived longer did its work; its next start does not wait as for one that never did."""
MISCONFIGURED = 2
"""The exit code that means wrong settings: starting again does not fix them. Everything else may pass."""
IN_VAIN = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ENOTDIR, errno.EISDIR})
"""Why a program cannot be started and never will be, unlike a machine that is short of memory."""

Say = Callable[[str, str], None]
"""Gets the name of a part and a line about it or from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A program to keep running.

    Attributes:
        name: for people.
        command: what is run; no secret may stand in it.
        environment: variables beside those of this process.
        without: variables of this process that it does not get.
        directory: where it runs; None: where this process does.
        patience_seconds: how long its clean end may take.
        ready: returns once it does its work, or raises; None: there is nothing to wait for.
    """

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    without: Collection[str] = ()
    directory: Path | None = None
    patience_seconds: float = 10.0
    ready: Callable[[], None] | None = None


def python_part(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours; ``-P`` keeps the working directory off ``sys.path``."""
    return [sys.executable, "-P", "-m", module, *arguments]


class Supervisor:
    """Keeps parts running for as long as the context is open; at its end they stop, the last one first.

    Args:
        sweeper: ends the parts should this process be killed.
        say: gets what happens and what the parts write.
        backoff: seconds before each next start of a part that dies again and again; the last repeats.
    """

    def __init__(self, sweeper: Sweeper, say: Say, *, backoff: Sequence[float] = BACKOFF_SECONDS) -> None:
        self._sweeper = sweeper
        self._listener: Say | None = say
        self._backoff = backoff
        self._kept: list[_Kept] = []
        self._hurry = asyncio.Event()
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled)
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for kept in reversed(self._kept):
            await kept.stop(self._hurry)

    async def start(self, part: Part) -> None:
        """Start a part and keep it running from now on. Returns when it is ready, or when all is to end.

        Raises:
            Unreachable: it did not become ready.
        """
        if self._end.done():
            return
        kept = _Kept(part, self._sweeper, self.say, self._backoff, self.end)
        self._kept.append(kept)
        kept.begin()
        if part.ready is not None:
            ready = asyncio.create_task(asyncio.to_thread(part.ready))
            either: set[asyncio.Future[Any]] = {ready, self._end}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()

    def say(self, name: str, line: str) -> None:
        """Pass a line on. When nobody can read any more (``redrive up | head``) all ends."""
        try:
            if self._listener is not None:
                self._listener(name, line)
        except BrokenPipeError:
            self._listener = None
            self.end(0)

    def end(self, code: int) -> None:
        """Let :meth:`wait` return this, unless it has something to return already."""
        if not self._end.done():
            self._end.set_result(code)

    async def wait(self) -> int:
        """Until a signal comes or a part is beyond help; the exit code."""
        return await asyncio.shield(self._end)

    def _signalled(self) -> None:
        if self._end.done():
            self._hurry.set()
        else:
            self.say("redrive", "stopping; once more kills what still runs")
        self.end(0)


class _Kept:
    """One part and its present process."""

    def __init__(
        self, part: Part, sweeper: Sweeper, say: Say, backoff: Sequence[float], give_up: Callable[[int], None]
    ) -> None:
        self._part = part
        self._sweeper = sweeper
        self._say = say
        self._backoff = backoff
        self._give_up = give_up
        self._process: Process | None = None
        self._stopping = False
        self._task: asyncio.Task[None]

    def begin(self) -> None:
        self._task = asyncio.create_task(self._keep(), name=self._part.name)

    async def stop(self, hurry: asyncio.Event) -> None:
        """A clean end, or after its patience, or in a hurry, any end."""
        self._stopping = True
        if self._process is None:
            self._task.cancel()
        else:
            self._process.terminate()
        hurried = asyncio.create_task(hurry.wait())
        await asyncio.wait(
            {self._task, hurried}, timeout=self._part.patience_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        hurried.cancel()
        if self._process is not None:
            self._say(self._part.name, "does not end; killed")
            signal_group(self._process.pid, signal.SIGKILL)
        await asyncio.wait({self._task})

    async def _keep(self) -> None:
        short_lives = 0
        while True:
            began = time.monotonic()
            what, given_up = await self._one_life()
            if self._stopping:
                return
            if given_up is not None:
                self._say(self._part.name, f"{what}; given up")
                self._give_up(given_up)
                return
            short_lives = short_lives + 1 if time.monotonic() - began < SHORT_LIFE_SECONDS else 1
            seconds = self._backoff[min(short_lives, len(self._backoff)) - 1]
            self._say(self._part.name, f"{what}; starting it again in {seconds:g} s")
            await asyncio.sleep(seconds)

    async def _one_life(self) -> tuple[str, int | None]:
        """What became of a process, and the exit code of all when another one would fare no better."""
        try:
            code = await self._live()
        except OSError as error:
            return f"cannot be started: {error}", 1 if error.errno in IN_VAIN else None
        return _ended(code), MISCONFIGURED if code == MISCONFIGURED else None

    async def _live(self) -> int:
        """One process, from its start to its end; its exit code."""
        inherited = {name: value for name, value in os.environ.items() if name not in self._part.without}
        process = self._process = await asyncio.create_subprocess_exec(
            *self._part.command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            cwd=self._part.directory,
            env={**inherited, "PYTHONUNBUFFERED": "1", **self._part.environment},
            start_new_session=True,
        )
        self._sweeper.watch(process.pid)
        await self._follow(process)
        code = await process.wait()
        self._process = None
        self._sweeper.ended(process.pid)
        return code

    async def _follow(self, process: Process) -> None:
        """Pass on what it writes, line by line, however long a line is."""
        assert process.stdout is not None  # noqa: S101 - it was asked for
        rest = b""
        while chunk := await process.stdout.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._say(self._part.name, line.decode(errors="replace"))
        if rest:
            self._say(self._part.name, rest.decode(errors="replace"))


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"
