"""Steps of begun batches, gathered for a moment and made together: a transaction costs the same for one and for many.

Nothing is delayed while there is little to do. Where there is much, a step waits for a part of its account's interval
between calls, so that what is slow anyway becomes cheap, and what is fast stays fast. While one group is written, the
next one gathers.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from redrive.models import ledger
from redrive.models.errors import Unreachable
from redrive.models.ledger import Step, WantedStep
from redrive.models.sql.db_errors import is_row_fault

from .beginning import Begun, begin_together

if TYPE_CHECKING:
    from .deps import Deps

log = structlog.get_logger("redrive.worker")

LONGEST_SECONDS: Final = 0.2
"""How long a step waits for others: less than what calls are opened ahead of their moments."""
BEGIN_SECONDS: Final = 0.1
"""How long a begin waits for others."""
TICK_SECONDS: Final = 0.001
"""Less than this is not waited for."""
SHARE: Final = 5
"""Of an account's interval between calls, a step waits this part at most."""
MOST: Final = 200
MOST_TASKS: Final = 2000
"""Steps, and the tasks they are about, in one transaction."""


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A begun batch's step; None for it: it must be made alone."""

    wanted: WantedStep
    until: float
    future: "asyncio.Future[Step | None]"

    @property
    def batch_id(self) -> UUID:
        return self.wanted.work.id

    @property
    def ids(self) -> frozenset[int]:
        return self.wanted.ids


@dataclass(frozen=True, slots=True, eq=False)
class _Begin:
    """A batch that is to be begun; None for it: that must be tried alone."""

    batch_id: UUID
    tried: list[Begun]
    until: float
    future: "asyncio.Future[Begun | None]"
    ids: frozenset[int] = frozenset()


_Errand = _Step | _Begin


class Together:
    """One per worker process, for one event loop."""

    def __init__(self, deps: "Deps") -> None:
        self._deps = deps
        self._waiting: list[_Errand] = []
        self._writer: asyncio.Task[None] | None = None
        self._come = asyncio.Event()
        self._last = -LONGEST_SECONDS

    async def step(self, wanted: WantedStep) -> Step | None:
        """Make a step with others; None: it must be made alone.

        Raises:
            Unreachable, SQLAlchemyError: the database is away or in doubt, for all of them.
        """
        if not wanted.is_plain:
            return None
        patience = min(LONGEST_SECONDS, wanted.work.rules.interval_seconds / SHARE)
        mine = _Step(wanted, self._last + patience, asyncio.get_running_loop().create_future())
        self._wait(mine)
        return await mine.future

    async def begin(self, batch_id: UUID, tried: list[Begun]) -> Begun | None:
        """Begin a batch, and open its first calls, with others; None: that must be tried alone.

        Args:
            batch_id: the batch.
            tried: learns of it before anything can fail.

        Raises:
            Unreachable, SQLAlchemyError: as above.
        """
        mine = _Begin(batch_id, tried, self._last + BEGIN_SECONDS, asyncio.get_running_loop().create_future())
        self._wait(mine)
        return await mine.future

    def _wait(self, errand: _Errand) -> None:
        self._waiting.append(errand)
        self._come.set()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

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
        while (left := min(each.until for each in self._waiting) - asyncio.get_running_loop().time()) > TICK_SECONDS:
            self._come.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._come.wait(), left)

    def _next(self) -> list[_Errand]:
        """Those who go together. Of two about one task, or of one batch, the second goes with the next ones."""
        part, left, ids, batches = list[_Errand](), list[_Errand](), set[int](), set[UUID]()
        for each in self._waiting:
            full = len(part) >= MOST or len(ids) >= MOST_TASKS
            if full or each.batch_id in batches or not ids.isdisjoint(each.ids):
                left.append(each)
            else:
                part.append(each)
                batches.add(each.batch_id)
                ids |= each.ids
        self._waiting = left
        return part

    async def _write(self, part: Sequence[_Errand]) -> None:
        steps = [each for each in part if isinstance(each, _Step)]
        begins = [each for each in part if isinstance(each, _Begin)]
        try:
            made, begun = await self._deps.desk.step(self._committed, steps, begins)
        except Exception as error:  # noqa: BLE001 - each of them gets it, or is made alone
            self._fail(part, error)
            return
        except BaseException as error:
            self._end(part, error)
            raise
        for step in steps:
            step.future.set_result(made.get(step.batch_id))
        for begin in begins:
            begin.future.set_result(begun.get(begin.batch_id))

    def _fail(self, part: Sequence[_Errand], error: Exception) -> None:
        """A database that is away is so for all of them; the fault of one is found where each is made alone."""
        away = isinstance(error, Unreachable | SQLAlchemyError) and not is_row_fault(error)
        if not away:
            log.info("steps.alone", steps=len(part), why=type(error).__name__)
        for each in part:
            if away:
                each.future.set_exception(error)
                continue
            for begun in each.tried if isinstance(each, _Begin) else ():
                begun.drop()
            each.future.set_result(None)

    def _end(self, part: Sequence[_Errand], error: BaseException) -> None:
        """Nothing is written here any more: none of those who wait may wait for ever."""
        left, self._waiting, self._writer = [*part, *self._waiting], [], None
        for each in left:
            if not each.future.done():
                each.future.set_exception(error)

    def _committed(
        self, steps: Sequence[_Step], begins: Sequence[_Begin]
    ) -> tuple[Mapping[UUID, Step], Mapping[UUID, Begun]]:
        own = self._deps
        with own.database.transaction() as t:
            begun = begin_together(own, t, {each.batch_id: each.tried for each in begins})
            first = [each.wanted for each in begun.values() if each.slots]
            wanted = [*(each.wanted for each in steps), *(each for each in first if each.is_plain)]
            # Asked after the last answers were collected: a call that is opened here knows what was noticed before.
            calm = [each for each in wanted if own.senders[each.work.rules.account].calm]
            made = ledger.advance_together(t, calm, own.rng) if calm else {}
            for batch_id, each in begun.items():
                each.open(made.get(batch_id))
        return made, begun
