"""One job: a batch begun, its calls made as their moments come, each recorded before the next, and the batch ended.

It is a coroutine of the worker's event loop, so that a batch holds neither thread nor connection while it waits.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from redrive.models.clock import boottime
from redrive.models.errors import StaleBatch, Unreachable
from redrive.models.ledger import CallResult, Step
from redrive.models.outcome import CheckResult, Outcome, Reading
from redrive.models.states import Operation

from .agenda import Agenda
from .beginning import Begun, begin
from .calls import Calls, last_moment
from .deps import Deps
from .line import Turn
from .recording import Recording

log = structlog.get_logger("redrive.worker")

SLOT_SECONDS = 0.25
"""How long a batch without a slot waits before it asks again whether it must stop."""
TURN_SECONDS = 1.0
"""How often a batch with calls under way asks whether its turn has come to ask for permits."""


def run(deps: Deps, batch_id: UUID) -> dict[str, int]:
    """Work on a batch, for a thread that waits for it."""
    return start(deps, batch_id).result()


def start(deps: Deps, batch_id: UUID, *, tried: Callable[[], None] = lambda: None) -> "Future[dict[str, int]]":
    """Let the event loop work on a batch."""
    if deps.loop.alive:
        return deps.loop.submit(work_on(deps, batch_id, tried=tried))
    future: Future[dict[str, int]] = Future()
    future.set_result({"not_begun": 1})  # nobody here could make its calls; the process is about to end
    return future


async def work_on(deps: Deps, batch_id: UUID, *, tried: Callable[[], None] = lambda: None) -> dict[str, int]:
    """Work on a batch; what came of it, for Flower. A batch that is not to be had is nobody's fault.

    ``tried`` is called once it is begun, or is known not to be: another one may be begun then.
    """
    try:
        begun = await begin(deps, batch_id)
    except (Unreachable, SQLAlchemyError):
        return {"not_begun": 1}
    finally:
        tried()
    if begun is None:
        return {"not_mine": 1}
    counts = await Job.of(deps, begun).run()
    deps.waker.wake()
    return counts


@dataclass(slots=True)
class Job:
    """A begun batch."""

    deps: Deps
    begun: Begun
    record: Recording
    agenda: Agenda
    calls: Calls
    turn: Turn | None = None

    @classmethod
    def of(cls, deps: Deps, begun: Begun) -> "Job":
        """The job of a batch that is begun."""
        calls = Calls(begun.work, begun.sender, lambda: not deps.draining.is_set(), begun.heard_at)
        return cls(deps, begun, begun.record, begun.agenda, calls)

    async def run(self) -> dict[str, int]:
        """Make all calls of the batch that its lease and its account allow; give back the rest."""
        began, work, counts = boottime(), self.begun.work, self.record.counts
        try:
            await self._work()
        except StaleBatch as error:
            log.warning("batch.stale", batch=str(work.id), account=work.rules.account, why=str(error))
            counts["stale"] += 1
        finally:
            self._leave_line()
        log.info(
            "batch.done", batch=str(work.id), account=work.rules.account, operation=work.operation.value,
            ms=round((boottime() - began) * 1000), **counts,
        )  # fmt: skip
        return dict(counts)

    async def _work(self) -> None:
        step = self._send(self.begun.first, self.begun.slots)
        while True:
            self._line_up(step)
            news = await self._hear(step) if self.calls else []
            if not self.calls and not news and self.agenda.groups:
                await self._wait(step.wait_until)
            if self._over:
                self.agenda.groups.clear()
            if not self.agenda.groups and not self.calls:
                break
            step = await self._record_and_open(news)
        if news or not await self._left():
            await self.record.end(news)

    async def _left(self) -> bool:
        """Whether a process that ends has given it back, together with others that wait."""
        if not self.deps.draining.is_set() or self.record.owes:
            return False
        return await self.deps.leaving.leave(self.begun.work, self.record.counts)

    def _line_up(self, step: Step) -> None:
        """Stand in line for the next permit where there was none; leave it where none is needed any more."""
        if not self.agenda.groups:
            self._leave_line()
            return
        path = self.begun.work.rules.account, self.agenda.groups[0].path
        if step.wait_until is not None and (self.turn is None or self.turn.path != path):
            self._leave_line()
            self.turn = self.deps.lines.join(path)

    def _leave_line(self) -> None:
        turn, self.turn = self.turn, None
        if turn is not None:
            self.deps.lines.leave(turn)

    @property
    def _may_ask(self) -> bool:
        """Whether no other batch of this process is before it."""
        return self.turn is None or self.turn.come.done()

    async def _wait(self, until: float | None) -> None:
        """Wait for its turn and the path's next moment, or for a slot; a drain cuts it short."""
        if self.turn is not None and not self._may_ask:
            patience = max(0.0, last_moment(self.begun.work) - boottime())
            await self.deps.draining.within(patience, unless=self.turn.come)
        if until is not None:
            await self.deps.draining.within(max(0.0, until - boottime()))
        await self.begun.sender.slots.wait(len(self.agenda.groups), SLOT_SECONDS)

    async def _hear(self, step: Step) -> list[CallResult]:
        """What came back."""
        news = await self.calls.hear(self._patience(step))
        for each in news:
            self.record.counts.update(map(self._name, each.answers.values()))
        return news

    def _patience(self, step: Step) -> float | None:
        """How long answers are waited for: while there is more to send, until that may be opened."""
        if not self.agenda.groups:
            return None
        if not self._may_ask:
            return TURN_SECONDS
        return SLOT_SECONDS if step.wait_until is None else max(0.0, step.wait_until - boottime())

    async def _record_and_open(self, news: Sequence[CallResult]) -> Step:
        """Record what came back, and start what there is a slot and a permit for."""
        slots = self.begun.sender.slots.take(len(self.agenda.groups)) if self._may_ask else 0
        if not slots and not news:
            return Step()
        try:
            step = await self.record.step(news, self.agenda.next(slots))
        except BaseException:
            self.begun.sender.slots.give_back(slots)
            raise
        return self._send(step, slots)

    def _send(self, step: Step, slots: int) -> Step:
        """Make the calls the step allows, with the slots they were opened for."""
        for permit in step.permits:
            self.record.asked.update({task.id: task.attempts for task in permit.tasks})
            self.calls.send(permit, self.agenda.plan(permit))
        self.begun.sender.slots.give_back(slots - len(step.permits))
        self.agenda.done(step.granted)
        if step.stop or (step.wait_until is not None and step.wait_until >= last_moment(self.begun.work)):
            self.agenda.groups.clear()
        return step

    @property
    def _over(self) -> bool:
        return self.deps.draining.is_set() or boottime() >= last_moment(self.begun.work)

    def _name(self, answer: Outcome | CheckResult) -> str:
        if self.begun.work.operation is Operation.CHECK and isinstance(answer, Reading):
            return answer.state.value
        return answer.name
