"""Writing down what came back and opening what goes next, whatever the database and its rows make of it.

An answer is kept until it is recorded or the lease ends. Three things may stand in its way: the database is away or in
doubt (again, without opening anything), somebody else has locked a task's row (its answer is owed and comes with the
next step), or one row is at fault (it is set aside, and the others go on).
"""

from asyncio import sleep
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from redrive.models import ledger
from redrive.models.clock import boottime
from redrive.models.errors import StaleBatch, Unreachable
from redrive.models.ledger import LOCAL, CallResult, Group, Step, WantedStep, Work
from redrive.models.outcome import Unsent
from redrive.models.sql.db import Transaction
from redrive.models.sql.db_errors import is_row_fault
from redrive.models.states import Operation

if TYPE_CHECKING:
    from .deps import Deps

log = structlog.get_logger("redrive.worker")

RECORD_PAUSE_SECONDS = (0.1, 0.5, 1.0, 2.0)
"""Between tries to record what came back; the last one repeats until the lease ends."""

NOT_OPENED = Unsent(message="the database went away before it was sent")


@dataclass(slots=True)
class Recording:
    """The record of one begun batch.

    Attributes:
        asked: the attempt number each task had when it was checked.
        counts: what came of the batch, for people's eyes.
        rest: the tasks without a recorded answer.
    """

    deps: "Deps"
    work: Work
    asked: dict[int, int]
    counts: Counter[str]
    rest: set[int]
    _owed: list[CallResult] = field(default_factory=list)

    @property
    def owes(self) -> bool:
        """Whether answers wait for rows that somebody else has locked."""
        return bool(self._owed)

    async def step(self, news: Sequence[CallResult], groups: Sequence[Group], *, last: bool = False) -> Step:
        """Record what came back and open the next calls.

        Raises:
            StaleBatch: the batch is not ours any more, or the lease ended first.
        """
        news = [*news, *self._owed]
        while True:
            try:
                step = await self._made(news, groups, last=last)
                break
            except Exception as error:
                if is_row_fault(error) and (odd := await self.deps.desk.step(self._set_aside, news, groups)):
                    news, groups = _without(news, odd), _groups_without(groups, odd)
                    continue
                if not isinstance(error, Unreachable | SQLAlchemyError):
                    raise
                say_unreachable(self.work.id, error)
                step = await self.again(news, groups, last=last)
                break
        self._owed = [replace(each, path=LOCAL, extra_calls=()) for each in _only(news, step.owed)]
        self.rest.difference_update(*(each.answers.keys() - step.owed for each in news))
        return step

    async def _made(self, news: Sequence[CallResult], groups: Sequence[Group], *, last: bool) -> Step:
        """Together with other batches' steps, or alone."""
        rest = self._rest(news) if last else set()
        if not rest:
            counts = dict(self.counts) if last else None
            wanted = WantedStep(self.work, news, groups, self.asked, counts)
            if (step := await self.deps.together.step(wanted)) is not None:
                return step
        return await self.deps.desk.step(self._advanced, news, groups, last)

    def _rest(self, news: Sequence[CallResult]) -> set[int]:
        """The tasks without a recorded answer once these are recorded."""
        return self.rest.difference(*(each.answers for each in news))

    async def end(self, news: Sequence[CallResult]) -> None:
        """Record the last answers, as long as the lease lasts, and end the batch.

        Raises:
            StaleBatch: as above.
        """
        await self.step(news, [], last=True)
        while self.owes and boottime() + RECORD_PAUSE_SECONDS[-1] < self.work.deadline:
            await sleep(RECORD_PAUSE_SECONDS[1])
            await self.step([], [], last=True)
        if self.owes:
            raise StaleBatch("somebody else held rows of its tasks until its lease ended")

    async def again(self, news: Sequence[CallResult], groups: Sequence[Group], *, last: bool) -> Step:
        """Record until the lease ends. The commit may have happened: what it would have opened is closed unsent."""
        unsure = {task_id: NOT_OPENED for group in groups for task_id in group.ids}
        if unsure and self._retrying:
            news = [*news, CallResult(LOCAL, self.work.lease_until, {**unsure})]
        for pause in (*RECORD_PAUSE_SECONDS, *[RECORD_PAUSE_SECONDS[-1]] * 10_000):
            if boottime() + pause >= self.work.deadline:
                break
            await sleep(pause)
            try:
                step = await self.deps.desk.step(self._advanced_again, news, last)
            except (Unreachable, SQLAlchemyError):
                continue
            return Step(granted=frozenset(groups), stop=step.stop, owed=step.owed)
        raise StaleBatch("could not be recorded before the lease ended")

    def _advanced(self, news: Sequence[CallResult], groups: Sequence[Group], last: bool) -> Step:  # noqa: FBT001 - of step
        with self.deps.database.transaction() as t:
            return self.advance(t, news, groups, last=last)

    def _advanced_again(self, news: Sequence[CallResult], last: bool) -> Step:  # noqa: FBT001 - of step
        with self.deps.database.transaction() as t:
            if last and ledger.is_done(t, self.work):
                return Step()  # only the answer to that commit was lost
            return self.advance(t, news, [], last=last)

    def advance(
        self,
        t: Transaction,
        news: Sequence[CallResult],
        groups: Sequence[Group],
        *,
        begun: bool = False,
        last: bool = False,
    ) -> Step:
        """One step of the ledger, in a transaction of the caller's."""
        rest = self._rest(news) if last else set()
        # Asked after the last answers were collected: a call opened here knows what was noticed before, or stays.
        calm = self.deps.senders[self.work.rules.account].calm and not rest
        if self._retrying:
            step = ledger.advance_retries(t, self.work, news, groups, self.deps.rng, begun=begun, calm=calm)
        else:
            step = ledger.advance_checks(t, self.work, news, groups, self.asked, self.deps.rng, begun=begun, calm=calm)
        if last and not step.owed:
            ledger.finish(t, self.work, self.counts, rest=rest)
        return step

    @property
    def _retrying(self) -> bool:
        return self.work.operation is Operation.RETRY

    def _set_aside(self, news: Sequence[CallResult], groups: Sequence[Group]) -> frozenset[int]:
        """Find the tasks a step fails over, one by one, and set them aside; none if it fails over none alone."""
        ids = sorted({*(i for each in news for i in each.answers), *(i for group in groups for i in group.ids)})

        def attempt(t: Transaction, part: Sequence[int]) -> None:
            others = frozenset(ids) - frozenset(part)
            self.advance(t, _without(news, others), _groups_without(groups, others))

        try:
            return ledger.set_aside_faulty(self.deps.database, self.work.rules.account, ids, attempt, log.error)
        except (Unreachable, SQLAlchemyError):
            return frozenset()


def say_unreachable(batch_id: UUID, error: Exception) -> None:
    """The database does not take it at the moment."""
    # Unreachable is made to be shown; other errors hold statements and what was to be written.
    words = str(error) if isinstance(error, Unreachable) else type(error).__name__
    log.warning("database.unreachable", batch=str(batch_id), error=words)


def _only(news: Iterable[CallResult], ids: frozenset[int]) -> list[CallResult]:
    parts = (replace(each, answers={i: a for i, a in each.answers.items() if i in ids}) for each in news)
    return [part for part in parts if part.answers]


def _without(news: Iterable[CallResult], ids: frozenset[int]) -> list[CallResult]:
    return [part for each in news for part in _only([each], frozenset(each.answers) - ids)]


def _groups_without(groups: Iterable[Group], ids: frozenset[int]) -> list[Group]:
    parts = (Group(group.path, tuple(i for i in group.ids if i not in ids)) for group in groups)
    return [part for part in parts if part.ids]
