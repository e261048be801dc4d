"""A batch's own life: published again until begun, begun once, ended, or lost with its lease."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, select, text, update

from ..db import Transaction
from ..errors import StaleBatch
from ..lifecycle import Context, gave_back, lost
from ..one_of import listed, one_of_named
from ..outcome import Unknown
from ..rules import Rules
from ..states import BatchStatus, Operation
from ..tables import batches, tasks
from ..task import Task
from . import accounts, attempts, breaker
from .claims import FIRST_REPUBLISH_SECONDS, Batch
from .rows import by_ids, count, locked, open_attempts, store, write

LONGEST_REPUBLISH_SECONDS = 600.0
PAGE = 100


@dataclass(frozen=True, slots=True)
class Work:
    """A batch that this worker has begun.

    Attributes:
        worker: who began it, and the how manieth of his batches it is.
        lease_until: the moment its lease ends.
        deadline: the same on :func:`models.clock.boottime`, from the safe side.
        tasks: as they were when it began.
    """

    id: UUID
    worker: str
    rules: Rules
    operation: Operation
    probe: bool
    lease_until: datetime
    deadline: float
    tasks: tuple[Task, ...]


def unheard(t: Transaction) -> bool:
    """Whether there are queued batches whose message may be lost."""
    return bool(t.rows(select(batches.c.id).where(_unheard(t)).limit(1)))


def _unheard(t: Transaction) -> ColumnElement[bool]:
    return and_(text("status = 'queued'"), batches.c.publish_at <= t.now)


def to_publish(t: Transaction) -> list[Batch]:
    """Queued batches whose message may be lost, each moved to its next time: 5, 10, 20 s … at most every 10 min."""
    statement = select(batches).where(_unheard(t)).order_by(batches.c.publish_at).limit(PAGE)
    rows = t.rows(statement.with_for_update(skip_locked=True))
    for row in rows:
        seconds = min(FIRST_REPUBLISH_SECONDS * 2.0 ** min(row.publishes, 16), LONGEST_REPUBLISH_SECONDS)
        again = {"publishes": row.publishes + 1, "publish_at": t.now + timedelta(seconds=seconds)}
        t.execute(update(batches).where(batches.c.id == row.id).values(again))
    return [Batch(row.id, row.account, row.provider, Operation(row.operation), row.size) for row in rows]


_BATCH = select(batches).where(batches.c.id == bindparam("batch"))
_BEGIN = (
    update(batches)
    .where(batches.c.id == bindparam("batch"), batches.c.status == BatchStatus.QUEUED.value)
    .values(
        status=BatchStatus.SENDING.value,
        begun_at=bindparam("now"),
        lease_until=bindparam("until"),
        worker=bindparam("who"),
    )
)
_TASKS = select(tasks).where(one_of_named(tasks.c.id, "ids")).order_by(tasks.c.id)
_MINE = _TASKS.where(tasks.c.batch_id == bindparam("batch"))


def begin(t: Transaction, batch_id: UUID, rules_of: Mapping[str, Rules], worker: str) -> Work | None:
    """Begin a queued batch, once and never again; the lease starts here. None when it is not to be had.

    ``worker`` names this very begin: who did not hear what became of it asks the row by that name.

    A batch of an account this worker does not know stays queued: another worker may know it.
    """
    batch = t.execute(_BATCH, batch=batch_id).one_or_none()
    rules = rules_of.get(batch.account) if batch is not None else None
    if batch is None or rules is None or batch.provider != rules.provider:
        return None
    lease_until = t.now + timedelta(seconds=rules.lease_seconds)
    if t.execute(_BEGIN, batch=batch_id, now=t.now, until=lease_until, who=worker).rowcount != 1:
        return None
    operation = Operation(batch.operation)
    ids = listed(batch.task_ids)
    # Not locked here: whoever opens calls takes their permits first, and would wait in a circle for who records.
    rows = t.rows(_MINE, ids=ids, batch=batch_id) if operation is Operation.RETRY else t.rows(_TASKS, ids=ids)
    found = tuple(map(Task.of, rows))
    return Work(batch_id, worker, rules, operation, batch.probe, lease_until, t.not_after(lease_until), found)


_HOLDER = select(batches.c.status, batches.c.worker).where(batches.c.id == bindparam("batch")).with_for_update()


def still_mine(t: Transaction, work: Work) -> None:
    """Lock the batch, or learn that it is not ours any more.

    Raises:
        StaleBatch: when it was rescued or ended, or begun by somebody else.
    """
    row = t.execute(_HOLDER, batch=work.id).one_or_none()
    if row is None or row.status != BatchStatus.SENDING:
        raise StaleBatch(f"batch {work.id} is {row.status if row else 'gone'}")
    if row.worker != work.worker:
        raise StaleBatch(f"batch {work.id} is with {row.worker}")


def is_done(t: Transaction, work: Work) -> bool:
    """Whether the batch was ended by its own job, which is the only one to end it so: a rescued one is lost."""
    status = t.execute(select(batches.c.status).where(batches.c.id == work.id)).scalar_one_or_none()
    return status == BatchStatus.DONE


_END = (
    update(batches)
    .where(batches.c.id == bindparam("batch"), batches.c.status == BatchStatus.SENDING.value)
    .values(status=bindparam("how"), ended_at=bindparam("now"), counts=bindparam("what"))
)


def ended(t: Transaction, batch_id: UUID, status: BatchStatus, counts: Mapping[str, int]) -> None:
    """The batch is over.

    Raises:
        StaleBatch: when it was already.
    """
    if t.execute(_END, batch=batch_id, how=status.value, now=t.now, what=dict(counts)).rowcount != 1:
        raise StaleBatch(f"batch {batch_id} has ended already")


def give_back(t: Transaction, work: Work) -> int:
    """Tasks still in the batch that were never sent go back, due at once. Those with an open attempt stay."""
    if work.operation is not Operation.RETRY:
        return 0
    mine = locked(t, and_(by_ids(task.id for task in work.tasks), tasks.c.batch_id == work.id))
    unsettled = open_attempts(t, (task.id for task in mine))
    changes = [(task, gave_back(task, t.now)) for task in mine if task.id not in unsettled]
    store(t, changes)
    return len(changes)


@dataclass(frozen=True, slots=True)
class Lost:
    """A batch past its lease."""

    id: UUID
    account: str
    provider: str


def expired(t: Transaction) -> list[Lost]:
    """Batches past their lease; each is rescued in a transaction of its own."""
    over = and_(text("status = 'sending'"), batches.c.lease_until <= t.now)
    columns = (batches.c.id, batches.c.account, batches.c.provider)
    rows = t.rows(select(*columns).where(over).order_by(batches.c.lease_until).limit(PAGE))
    return [Lost(row.id, row.account, row.provider) for row in rows]


def rescue(t: Transaction, batch_id: UUID, rules: Rules, rng: Random) -> int:
    """Take a batch back whose lease is over: open attempts become unknown and spent, the rest goes back unspent.

    Returns the number of tasks that left it; 0 when somebody else was faster or its worker lives.
    """
    accounts.locked(t, rules.account)
    row = t.execute(select(batches).where(batches.c.id == batch_id).with_for_update()).one_or_none()
    if row is None or row.status != BatchStatus.SENDING or row.lease_until > t.now:
        return 0
    operation = Operation(row.operation)
    found = (
        _take_back(t, row.task_ids, batch_id, row.lease_until, Context(rules, t.now, rng))
        if operation is Operation.RETRY
        else 0
    )
    breaker.probe_over(t, rules, operation, batch_id)
    ended(t, batch_id, BatchStatus.LOST, {"rescued": found})
    return found


def _take_back(t: Transaction, ids: list[int], batch_id: UUID, lease_until: datetime, context: Context) -> int:
    open_ones = open_attempts(t, ids, batch_id=batch_id)
    # An open attempt's task may have left the batch: its owner reported a success meanwhile.
    mine = locked(t, and_(by_ids(ids), (tasks.c.batch_id == batch_id) | by_ids(open_ones)))
    steps = write(t, [(x, lost(x, was_open=x.id in open_ones, lease_until=lease_until, context=context)) for x in mine])
    words = Unknown(message="its worker was lost while the call may have been under way")
    keys = {attempts.Key(i, number): words for i, number in open_ones.items()}
    steps.update(attempts.closed(t, context.rules.account, batch_id, keys))
    count(t, steps)
    return len(mine)
