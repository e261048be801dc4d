"""One job: a batch begun, its calls made slice by slice, each recorded before the next, and the batch ended."""

from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from models import ledger
from models.clock import boottime
from models.db import Transaction
from models.db_errors import is_row_fault
from models.errors import StaleBatch, Unreachable
from models.ledger import LOCAL, Answered, Group, Permit, Step, Work
from models.outcome import Look, Outcome, Reading
from models.states import Operation
from models.task import Task

from .deps import Deps
from .providers.base import Call, Plan, TaskRef
from .recording import Recording, say_unreachable
from .sender import Sender
from .window import MARGIN_SECONDS, Window

log = structlog.get_logger("redrive.worker")

GATHER_SECONDS = 0.1
"""How long answers are gathered before those that came are recorded and the next calls opened."""
SLOT_SECONDS = 0.25
"""How long a batch without a slot waits before it looks again whether it shall stop."""
Answers = dict[int, Outcome | Look]


def run(deps: Deps, batch_id: UUID) -> dict[str, int]:
    """Work on a batch; what came of it, for Flower. A batch that is not to be had is nobody's fault."""
    if not deps.loop.alive:
        return {"not_begun": 1}  # nobody here could make its calls; the process is about to end
    try:
        job = _begun(deps, batch_id)
    except (Unreachable, SQLAlchemyError):
        return {"not_begun": 1}
    if job is None:
        return {"not_mine": 1}
    counts = job.run()
    deps.waker.wake()
    return counts


def _begun(deps: Deps, batch_id: UUID) -> "Job | None":
    """Begin the batch and open its first calls, in one transaction; they are made once it is committed.

    Raises:
        Unreachable, SQLAlchemyError: it was not begun. In doubt nothing is sent, and what was opened is closed.
    """
    job: Job | None = None
    try:
        with deps.database.transaction() as t:
            job = _begin(deps, t, batch_id)
    except Exception as error:
        opened = job.drop_first() if job is not None else []
        if is_row_fault(error) and _set_aside(deps, batch_id):
            return _begun(deps, batch_id)
        if not isinstance(error, Unreachable | SQLAlchemyError):
            raise
        say_unreachable(batch_id, error)
        if job is None or not job.was_begun(opened):
            raise
    return job


def _begin(deps: Deps, t: Transaction, batch_id: UUID, only: Sequence[int] | None = None) -> "Job | None":
    work = ledger.begin(t, batch_id, deps.rules, deps.next_name(), only=only)
    if work is None:
        return None
    job = Job(deps, work)
    try:
        job.open_first(t)
    except BaseException:
        job.drop_first()
        raise
    return job


def _set_aside(deps: Deps, batch_id: UUID) -> bool:
    """Find the tasks that the batch cannot be begun over, and set them aside. False when it is none of them alone."""

    def attempt(t: Transaction, part: Sequence[int]) -> None:
        if (job := _begin(deps, t, batch_id, part)) is not None:
            job.drop_first()

    with deps.database.reading() as t:
        account, ids = ledger.made_for(t, batch_id)
    return bool(ledger.set_aside_faulty(deps.database, account, ids, attempt, log.error))


@dataclass(slots=True)
class Job:
    """A begun batch."""

    deps: Deps
    work: Work
    counts: Counter[str] = field(default_factory=Counter)
    _todo: deque[Group] = field(default_factory=deque)
    _in_air: dict[Future[Answers], tuple[Permit, Window]] = field(default_factory=dict)
    _calls: dict[tuple[int, ...], Call] = field(default_factory=dict)
    _first: Step = field(default_factory=Step)
    _record: Recording = field(init=False)
    _slots: int = 0
    _heard_at: float = field(default_factory=boottime)

    def __post_init__(self) -> None:
        rest = {task.id for task in self.work.tasks}
        self._record = Recording(self.deps, self.work, {}, self.counts, rest)

    def open_first(self, t: Transaction) -> None:
        """Open the first calls in the transaction that began the batch; :meth:`run` makes them."""
        self._plan()
        if not self._over:
            self._slots = self._sender.slots.take(len(self._todo))
            self._first = self._record.advance(t, [], list(self._todo)[: self._slots], begun=True)

    def drop_first(self) -> list[Group]:
        """That transaction failed: nothing of it is sent. Returns the calls it may have opened."""
        self._sender.slots.give_back(self._slots)
        slots, self._slots, self._first = self._slots, 0, Step()
        return list(self._todo)[:slots]

    def was_begun(self, opened: Sequence[Group]) -> bool:
        """Whether it was committed all the same; then what it opened is closed unsent, and the rest can go on."""
        try:
            self._first = self._record.again([], opened, last=False)
        except StaleBatch:
            return False
        return True

    def run(self) -> dict[str, int]:
        """Make all calls of the batch that its lease and its account allow; give back the rest."""
        began = boottime()
        try:
            self._work()
        except StaleBatch as error:
            log.warning("batch.stale", batch=str(self.work.id), account=self.work.rules.account, why=str(error))
            self.counts["stale"] += 1
        log.info(
            "batch.done", batch=str(self.work.id), account=self.work.rules.account,
            operation=self.work.operation.value, ms=round((boottime() - began) * 1000), **self.counts,
        )  # fmt: skip
        return dict(self.counts)

    def _plan(self) -> None:
        tasks = [_ref(task) for task in self.work.tasks]
        plan = self._sender.plan(self.work.operation, tasks)
        self._calls = {tuple(task.id for task in call.tasks): call for call in plan.calls}
        self._todo.extend(Group(call.limit_path, ids) for ids, call in self._calls.items())
        if plan.refused:
            self._todo.append(Group(LOCAL, tuple(plan.refused)))

    def _work(self) -> None:
        step = self._make(self._first)
        while True:
            told = self._gather(self._patience(step)) if self._in_air else []
            if not self._in_air and not told and self._todo:
                self._pause(step.wait_until)
            if self._over:
                self._todo.clear()
            if not self._todo and not self._in_air:
                break
            step = self._next(told)
        self._record.end(told)

    def _next(self, told: Sequence[Answered]) -> Step:
        """Record what came back, and start what there is a slot and a permit for."""
        # A batch with nothing in the air has nothing better to do than to wait for slots.
        wait_seconds = 0 if self._in_air or told else SLOT_SECONDS
        self._slots = self._sender.slots.take(len(self._todo), wait_seconds=wait_seconds) if self._todo else 0
        if not self._slots and not told and self._in_air:
            return Step()
        try:
            step = self._record.step(told, list(self._todo)[: self._slots])
        except BaseException:
            self._sender.slots.give_back(self._slots)
            raise
        return self._make(step)

    def _make(self, step: Step) -> Step:
        """Make the calls the step allows, with the slots they were opened for."""
        for permit in step.permits:
            self._start(permit)
        self._sender.slots.give_back(self._slots - len(step.permits))
        self._todo = deque(group for group in self._todo if group not in step.granted)
        if step.stop or (step.wait_until is not None and step.wait_until >= self._last_moment):
            self._todo.clear()
        return step

    @property
    def _retrying(self) -> bool:
        return self.work.operation is Operation.RETRY

    @property
    def _sender(self) -> Sender:
        return self.deps.senders[self.work.rules.account]

    @property
    def _last_moment(self) -> float:
        """The boottime after which no call may leave: it would outlive the lease."""
        return self.work.deadline - self.work.rules.timeout_seconds - MARGIN_SECONDS

    @property
    def _over(self) -> bool:
        return self.deps.draining.is_set() or boottime() >= self._last_moment

    def _start(self, permit: Permit) -> None:
        self._record.asked.update({task.id: task.attempts for task in permit.tasks})
        until = self.work.lease_until - timedelta(seconds=self.work.rules.timeout_seconds + MARGIN_SECONDS)
        window = Window(
            permit.leave_after, permit.leave_by, self._last_moment, until,
            lambda: not self.deps.draining.is_set(), heard_at=self._heard_at,
        )  # fmt: skip
        # As planned, unless some of its tasks have left the batch since.
        call = self._calls.get(tuple(task.id for task in permit.tasks))
        plan = Plan((call,)) if call is not None else None
        refs = [_ref(task) for task in permit.tasks]
        make = self._sender.retry if self._retrying else self._sender.check
        future = self.deps.loop.submit(make(refs, window, plan))
        # Not when its answer is recorded: a batch that is lost meanwhile must not keep the slot for ever.
        future.add_done_callback(lambda _: self._sender.slots.give_back(1))
        self._in_air[future] = (permit, window)

    def _patience(self, step: Step) -> float | None:
        """How long answers are waited for: while there is more to send, until that may be opened."""
        if not self._todo:
            return None
        return SLOT_SECONDS if step.wait_until is None else max(0.0, step.wait_until - boottime())

    def _gather(self, patience: float | None) -> list[Answered]:
        """What came back within our patience, and within a moment after the first."""
        wait(self._in_air, timeout=patience, return_when=FIRST_COMPLETED)
        wait(self._in_air, timeout=GATHER_SECONDS, return_when=ALL_COMPLETED)
        # Before looking who is done: what fails from here on may be missing in what is told.
        self._heard_at = boottime()
        done = [future for future in self._in_air if future.done()]
        told = []
        for future in done:
            permit, window = self._in_air.pop(future)
            answers = future.result()
            self.counts.update(answer.name if self._retrying else _look_name(answer) for answer in answers.values())
            told.append(Answered(permit.path, permit.asked_at, answers, tuple(window.calls)))
        return told

    def _pause(self, until: float | None) -> None:
        """Wait for the path's next moment; a drain cuts it short."""
        if until is not None:
            self.deps.draining.wait(max(0.0, until - boottime()))


def _ref(task: Task) -> TaskRef:
    # A row from before there were rules may hold a list, or text.
    params = task.params if isinstance(task.params, dict) else {}
    return TaskRef(task.id, task.kind, task.external_id, task.sub_id, params, task.origin, task.provider_ref)


def _look_name(look: Outcome | Look) -> str:
    return look.state.value if isinstance(look, Reading) else look.name
