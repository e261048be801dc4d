"""Steps of begun batches, gathered for a moment and made together: a transaction costs the same for one and for many.

Nothing is delayed while there is little to do. Where there is much, a step waits for a part of its account's interval
between calls, so that what is slow anyway becomes cheap, and what is fast stays fast. While one group is written, the
next one gathers.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from redrive.models import ledger
from redrive.models.errors import Unreachable
from redrive.models.ledger import StaleWriteError, Step, WantedStep
from redrive.models.sql.db import Database
from redrive.models.sql.db_errors import is_row_fault

from .desk import Desk

log = structlog.get_logger("redrive.worker")

LONGEST_SECONDS: Final = 0.2
"""How long a step waits for others: less than what calls are opened ahead of their moments."""
SHARE: Final = 5
"""Of an account's interval between calls, a step waits this part at most."""
MOST: Final = 200
MOST_TASKS: Final = 2000
"""Steps, and the tasks they are about, in one transaction."""


class _Waiting(NamedTuple):
    wanted: WantedStep
    until: float
    step: "asyncio.Future[Step | None]"


class Together:
    """One per worker process, for one event loop.

    Args:
        database: where the transactions are.
        desk: does them.
        rng: dice for the waits.
        is_calm: whether nobody here knows of trouble with an account, by its name, that may not be recorded yet.
    """

    def __init__(self, database: Database, desk: Desk, rng: Random, is_calm: Callable[[str], bool]) -> None:
        self._database, self._desk, self._rng, self._is_calm = database, desk, rng, is_calm
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._come = asyncio.Event()
        self._last = -LONGEST_SECONDS

    async def step(self, wanted: WantedStep) -> Step | None:
        """Make the step with others; None: it must be made alone.

        Raises:
            Unreachable, SQLAlchemyError: the database is away or in doubt, for all of them.
        """
        if not wanted.is_plain:
            return None
        loop = asyncio.get_running_loop()
        until = self._last + min(LONGEST_SECONDS, wanted.work.rules.interval_seconds / SHARE)
        self._waiting.append(mine := _Waiting(wanted, until, loop.create_future()))
        self._come.set()
        if self._writer is None:
            self._writer = loop.create_task(self._write_all())
        return await mine.step

    async def _write_all(self) -> None:
        """For those who come meanwhile, too."""
        while self._waiting:
            await self._gather()
            part = self._next()
            self._last = asyncio.get_running_loop().time()
            await self._write(part)
        self._writer = None

    async def _gather(self) -> None:
        """Until one of those who wait has waited for long enough."""
        while (left := min(each.until for each in self._waiting) - asyncio.get_running_loop().time()) > 0:
            self._come.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._come.wait(), left)

    def _next(self) -> list[_Waiting]:
        """Those who go together. Of two steps about a task, or of a batch, the second goes with the next ones."""
        part, left, ids, batches = list[_Waiting](), list[_Waiting](), set[int](), set[UUID]()
        for each in self._waiting:
            wanted = each.wanted
            if (
                len(part) >= MOST
                or len(ids) >= MOST_TASKS
                or wanted.work.id in batches
                or not ids.isdisjoint(wanted.ids)
            ):
                left.append(each)
            else:
                part.append(each)
                batches.add(wanted.work.id)
                ids |= wanted.ids
        self._waiting = left
        return part

    async def _write(self, part: Sequence[_Waiting]) -> None:
        try:
            done = await self._desk.step(self._committed, [each.wanted for each in part])
        except (Unreachable, SQLAlchemyError, StaleWriteError) as error:
            log.debug("steps.alone", steps=len(part), why=type(error).__name__)
            away = not is_row_fault(error) and not isinstance(error, StaleWriteError)
            for each in part:
                if away:
                    each.step.set_exception(error)
                else:
                    each.step.set_result(None)
            return
        for each in part:
            each.step.set_result(done.get(each.wanted.work.id))

    def _committed(self, wanted: Sequence[WantedStep]) -> Mapping[UUID, Step]:
        with self._database.transaction() as t:
            # Asked after the last look at who is done: a call that is opened here knows what was noticed before.
            calm = [each for each in wanted if self._is_calm(each.work.rules.account)]
            return ledger.advance_together(t, calm, self._rng) if calm else {}
