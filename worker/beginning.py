"""Beginning a batch, and opening its first calls, in one transaction; they are made once it is committed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from redrive.models import ledger
from redrive.models.clock import boottime
from redrive.models.errors import StaleBatch, Unreachable
from redrive.models.ledger import Group, Step, WantedStep, Work
from redrive.models.sql.db import Transaction
from redrive.models.sql.db_errors import is_row_fault

from .agenda import Agenda
from .recording import Recording, say_unreachable
from .sender import Sender

if TYPE_CHECKING:
    from .deps import Deps

log = structlog.get_logger("redrive.worker")


@dataclass(slots=True)
class Begun:
    """A batch that is begun, with its first calls open.

    Attributes:
        slots: those its first calls were opened for.
        heard_at: the boottime up to which answers were known as they were opened.
    """

    work: Work
    sender: Sender
    record: Recording
    agenda: Agenda
    heard_at: float
    slots: int = 0
    first: Step = field(default_factory=Step)

    @property
    def wanted(self) -> WantedStep:
        """Its first step: the calls it has slots for."""
        return WantedStep(self.work, (), self.agenda.next(self.slots))

    def open(self, first: Step | None) -> None:
        """Its first calls are open; None: they are opened later, alone."""
        if first is None:
            self.sender.slots.give_back(self.slots)
            self.slots = 0
        self.first = first or Step()

    def drop(self) -> list[Group]:
        """Its transaction failed: nothing of it is sent. Returns the calls it may have opened."""
        opened = self.agenda.next(self.slots)
        self.sender.slots.give_back(self.slots)
        self.slots, self.first = 0, Step()
        return opened


async def begin(deps: "Deps", batch_id: UUID) -> Begun | None:
    """Begin a batch; None when it is not to be had.

    Raises:
        Unreachable, SQLAlchemyError: it was not begun. In doubt nothing is sent, and what was opened is closed.
    """
    tried: list[Begun] = []
    try:
        if (begun := await deps.together.begin(batch_id, tried)) is not None:
            return begun
        return await deps.desk.begin(_committed, deps, batch_id, tried)
    except Exception as error:
        dropped = [(begun, begun.drop()) for begun in tried]
        if is_row_fault(error) and await deps.desk.begin(_set_aside, deps, batch_id):
            return await begin(deps, batch_id)
        if not isinstance(error, Unreachable | SQLAlchemyError):
            raise
        say_unreachable(batch_id, error)
        for begun, opened in dropped:
            if await _happened(begun, opened):
                return begun
        raise


def begin_together(deps: "Deps", t: Transaction, tried: Mapping[UUID, list[Begun]]) -> dict[UUID, Begun]:
    """Begin those batches that can be begun together; their first calls are still to be opened, in this transaction."""
    works = ledger.begin_together(t, {batch_id: deps.next_name() for batch_id in tried}, deps.rules)
    return {batch_id: _begun(deps, work, tried[batch_id]) for batch_id, work in works.items()}


def _committed(deps: "Deps", batch_id: UUID, tried: list[Begun]) -> Begun | None:
    with deps.database.transaction() as t:
        return _begin(deps, t, batch_id, tried)


def _begin(
    deps: "Deps", t: Transaction, batch_id: UUID, tried: list[Begun], only: Sequence[int] | None = None
) -> Begun | None:
    """Begin it in this transaction; ``tried`` learns of it before anything can fail."""
    work = ledger.begin(t, batch_id, deps.rules, deps.next_name(), only=only)
    if work is None:
        return None
    begun = _begun(deps, work, tried)
    if not deps.draining.is_set():
        begun.first = begun.record.advance(t, [], begun.agenda.next(begun.slots), begun=True)
    return begun


def _begun(deps: "Deps", work: Work, tried: list[Begun]) -> Begun:
    """With slots for its first calls, unless the process ends."""
    sender, rest = deps.senders[work.rules.account], {task.id for task in work.tasks}
    record = Recording(deps, work, {}, Counter(), rest)
    begun = Begun(work, sender, record, Agenda.of(work, sender), boottime())
    tried.append(begun)
    if not deps.draining.is_set():
        begun.slots = sender.slots.take(len(begun.agenda.groups))
    return begun


async def _happened(begun: Begun, opened: Sequence[Group]) -> bool:
    """Whether it was committed all the same; then what it opened is closed unsent, and the rest can go on."""
    try:
        begun.first = await begun.record.again([], opened, last=False)
    except StaleBatch:
        return False
    return True


def _set_aside(deps: "Deps", batch_id: UUID) -> bool:
    """Find the tasks that the batch cannot be begun over, and set them aside. False when it is none of them alone."""

    def attempt(t: Transaction, part: Sequence[int]) -> None:
        tried: list[Begun] = []
        try:
            _begin(deps, t, batch_id, tried, part)
        finally:
            for begun in tried:
                begun.drop()

    with deps.database.reading() as t:
        account, ids = ledger.made_for(t, batch_id)
    return bool(ledger.set_aside_faulty(deps.database, account, ids, attempt, log.error))
