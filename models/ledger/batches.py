"""A batch's own life: published again until begun, begun once, ended, or lost with its lease."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, select, text, update

from ..doubling import doubled
from ..errors import StaleBatch
from ..lifecycle import Context, checkable_again, gave_back, lost
from ..outcome import Unknown
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.one_of import listed, one_of_named
from ..sql.rowset import rowset
from ..sql.tables import batches, columns, tasks
from ..states import BatchStatus, Operation
from ..task import Task
from . import accounts, attempts, breaker, contexts, quarantine, standstills
from .claims import FIRST_REPUBLISH_SECONDS, STANDSTILL, Batch
from .holds import note_holds
from .quarantine import not_set_aside
from .rows import free_by_ids, store, unanswered, write
from .totals import count

LONGEST_REPUBLISH_SECONDS = 600.0
BATCHES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Work:
    """A batch that this worker has begun.

    Attributes:
        worker: who began it, and the how manieth of his batches it is.
        lease_until: the moment its lease ends.
        deadline: the same on :func:`redrive.models.clock.boottime`, from the safe side.
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


def take_unheard(t: Transaction) -> list[Batch]:
    """Queued batches whose message may be lost, each moved to its next time: 5, 10, 20 s … at most every 10 min."""
    statement = select(batches).where(_unheard(t)).order_by(batches.c.publish_at).limit(BATCHES_AT_ONCE)
    rows = t.rows(statement.with_for_update(skip_locked=True))
    for row in rows:
        seconds = doubled(FIRST_REPUBLISH_SECONDS, row.publishes, LONGEST_REPUBLISH_SECONDS)
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


@cache
def _tasks_of(level: int, operation: Operation) -> Select[Any]:
    chosen = (
        select(*columns(tasks, level)).where(one_of_named(tasks.c.id, "ids"), not_set_aside(level)).order_by(tasks.c.id)
    )
    return chosen if operation is Operation.CHECK else chosen.where(tasks.c.batch_id == bindparam("batch"))


def begin(
    t: Transaction,
    batch_id: UUID,
    rules_of: Mapping[str, Rules],
    worker: str,
    *,
    only: Collection[int] | None = None,
) -> Work | None:
    """Begin a queued batch, once and never again; the lease starts here. None when it is not to be had.

    ``only`` is for a caller in search of the one task that the begin fails over.

    ``worker`` names this very begin: a caller that got no answer finds its batch by that name.

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
    if t.now - batch.created_at > STANDSTILL:
        standstills.note(t, rules.account, operation, batch.created_at, t.now)
    ids = listed(i for i in batch.task_ids if only is None or i in only)
    # Not locked here: a step that opens calls takes their permits first, and would wait in a circle for who records.
    own = {"batch": batch_id} if operation is Operation.RETRY else {}
    found = tuple(map(Task.of, t.rows(_tasks_of(t.level, operation), ids=ids, **own)))
    return Work(batch_id, worker, rules, operation, batch.probe, lease_until, t.not_after(lease_until), found)


def begin_all(t: Transaction, leases: Mapping[UUID, tuple[str, datetime]]) -> None:
    """Queued batches whose rows this transaction has locked are with these workers until then."""
    if not leases:
        return
    rows = [{"id": id_, "worker": worker, "lease_until": until} for id_, (worker, until) in sorted(leases.items())]
    r = rowset(t.dialect, rows, batches, ("id", "worker", "lease_until"))
    begun = {"status": BatchStatus.SENDING.value, "begun_at": t.now}
    t.execute(
        update(batches)
        .where(batches.c.id == r["id"])
        .values(begun | {"worker": r["worker"], "lease_until": r["lease_until"]})
    )


def claimed(t: Transaction, ids: Iterable[int]) -> list[Task]:
    """The tasks of batches as they are, without those that are set aside."""
    wanted = listed(ids)
    return [Task.of(row) for row in t.rows(_tasks_of(t.level, Operation.CHECK), ids=wanted)] if wanted else []


_OURS = (
    select(batches.c.id, batches.c.worker)
    .where(one_of_named(batches.c.id, "ids"), batches.c.status == BatchStatus.SENDING.value)
    .order_by(batches.c.id)
    .with_for_update(skip_locked=True)
)


def lock_free_own(t: Transaction, works: Iterable[Work]) -> frozenset[UUID]:
    """Lock those of these batches that are ours still and that nobody else has locked; returns their ids."""
    names = {work.id: work.worker for work in works}
    return frozenset(row.id for row in t.rows(_OURS, ids=listed(names)) if row.worker == names[row.id])


_HOLDER = select(batches.c.status, batches.c.worker).where(batches.c.id == bindparam("batch")).with_for_update()


def made_for(t: Transaction, batch_id: UUID) -> tuple[str, list[int]]:
    """The account and the tasks the batch was made for; none when there is no such batch."""
    row = t.execute(select(batches.c.account, batches.c.task_ids).where(batches.c.id == batch_id)).one_or_none()
    return (row.account, row.task_ids) if row is not None else ("", [])


def lock_own(t: Transaction, work: Work) -> None:
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


def end(t: Transaction, batch_id: UUID, status: BatchStatus, counts: Mapping[str, int]) -> None:
    """The batch is over.

    Raises:
        StaleBatch: when it was already.
    """
    if t.execute(_END, batch=batch_id, how=status.value, now=t.now, what=dict(counts)).rowcount != 1:
        raise StaleBatch(f"batch {batch_id} has ended already")


def end_all(t: Transaction, counts: Mapping[UUID, Mapping[str, int]]) -> None:
    """Batches whose rows this transaction has locked are done.

    Raises:
        StaleBatch: when one of them was over already.
    """
    if not counts:
        return
    rows = [{"id": batch_id, "counts": dict(what)} for batch_id, what in sorted(counts.items())]
    r = rowset(t.dialect, rows, batches, ("id", "counts"))
    mine = and_(batches.c.id == r["id"], batches.c.status == BatchStatus.SENDING.value)
    over = {"status": BatchStatus.DONE.value, "ended_at": t.now, "counts": r["counts"]}
    if t.execute(update(batches).where(mine).values(over)).rowcount != len(rows):
        raise StaleBatch("one of the batches has ended already")


def give_back(t: Transaction, work: Work) -> int:
    """Tasks still in the batch that were never sent go back, due at once. Those with an open attempt stay.

    Those that somebody else has locked stay, too, and so does the batch: see :func:`remainder`.
    """
    if work.operation is not Operation.RETRY:
        return give_back_checks(t, [work])
    aside = quarantine.among(t, [task.id for task in work.tasks])
    free = free_by_ids(t, (task.id for task in work.tasks if task.id not in aside))
    mine = [task for task in free if task.batch_id == work.id]
    unsettled = unanswered(t, (task.id for task in mine))
    changes = [(task, gave_back(task, t.now)) for task in mine if task.id not in unsettled]
    store(t, changes)
    return len(changes)


def give_back_checks(t: Transaction, works: Iterable[Work]) -> int:
    """Checks that were not made are due at once; for how many tasks.

    A check moves its task's due moment, whatever it finds: what stands where the claim put it was not asked.
    """
    claimed = {task.id: task.due_at for work in works for task in work.tasks}
    aside = quarantine.among(t, sorted(claimed))
    free = free_by_ids(t, claimed.keys() - aside.keys())
    changes = [(task, checkable_again(task, t.now)) for task in free if task.due_at == claimed[task.id]]
    store(t, changes)
    return len(changes)


def remainder(t: Transaction, batch_id: UUID, ids: Collection[int]) -> bool:
    """Whether a task still carries the batch's id, or an attempt of it is open: then it is neither done nor lost.

    Asked of the database and not of what was locked: a row that was skipped is not in hand.
    """
    if t.rows(_carrying(t.level), ids=listed(ids), batch=batch_id):
        return True
    return bool(unanswered(t, ids, batch_id=batch_id))


@cache
def _carrying(level: int) -> Select[Any]:
    mine = and_(one_of_named(tasks.c.id, "ids"), tasks.c.batch_id == bindparam("batch"))
    return select(tasks.c.id).where(mine, not_set_aside(level)).limit(1)


@dataclass(frozen=True, slots=True)
class Lost:
    """A batch past its lease."""

    id: UUID
    account: str
    provider: str


def expired(t: Transaction, *, but: Collection[UUID] = ()) -> list[Lost]:
    """Batches past their lease; each is rescued in a transaction of its own.

    ``but`` leaves out those that could not be rescued just now: a page of them would hide all others.
    """
    over = and_(text("status = 'sending'"), batches.c.lease_until <= t.now, batches.c.id.not_in(sorted(but)))
    named = (batches.c.id, batches.c.account, batches.c.provider)
    rows = t.rows(select(*named).where(over).order_by(batches.c.lease_until).limit(BATCHES_AT_ONCE))
    return [Lost(row.id, row.account, row.provider) for row in rows]


@dataclass(frozen=True, slots=True)
class Rescued:
    """What became of a lost batch.

    Attributes:
        tasks: how many left it.
        over: it is over, or was nobody's to rescue; otherwise some of its tasks are locked by somebody else, and it
            is rescued again.
    """

    tasks: int
    over: bool = True


def rescue(
    t: Transaction, batch_id: UUID, rules: Rules, rng: Random, *, only: Collection[int] | None = None
) -> Rescued:
    """Take a batch back whose lease is over: open attempts become unknown and spent, the rest goes back unspent.

    ``only`` is for a caller in search of the one task that a rescue fails over.
    """
    accounts.locked(t, rules.account)
    row = t.execute(select(batches).where(batches.c.id == batch_id).with_for_update()).one_or_none()
    if row is None or row.status != BatchStatus.SENDING or row.lease_until > t.now:
        return Rescued(0)
    operation = Operation(row.operation)
    found = 0
    if operation is Operation.RETRY:
        ids = [i for i in row.task_ids if only is None or i in only]
        found = _take_back(t, ids, batch_id, row.lease_until, contexts.context(t, rules, rng))
        if only is None and remainder(t, batch_id, ids):
            return Rescued(found, over=False)
    breaker.end_probe(t, rules, operation, batch_id)
    end(t, batch_id, BatchStatus.LOST, {"rescued": found})
    return Rescued(found)


def _take_back(t: Transaction, ids: list[int], batch_id: UUID, lease_until: datetime, context: Context) -> int:
    """Those of the tasks that nobody else has locked. An attempt is closed together with its task, or not at all."""
    aside = quarantine.among(t, ids)
    # An open attempt's task may have left the batch: its owner reported a success meanwhile.
    free = {task.id: task for task in free_by_ids(t, (i for i in ids if i not in aside))}
    open_ones = {i: number for i, number in unanswered(t, ids, batch_id=batch_id).items() if i in free}
    mine = [task for task in free.values() if task.batch_id == batch_id or task.id in open_ones]
    changes = [(x, lost(x, was_open=x.id in open_ones, lease_until=lease_until, context=context)) for x in mine]
    steps = write(t, changes)
    note_holds(t, changes)
    words = Unknown(message="its worker was lost while the call may have been under way")
    lost_ones = attempts.Closing(context.rules.account, batch_id, words)
    steps.update(attempts.close_attempts(t, {attempts.Key(i, n): lost_ones for i, n in open_ones.items()}))
    count(t, steps)
    return len(mine)


def orphaned(t: Transaction, names: Collection[str], older_than: timedelta) -> list[Lost]:
    """Batches of accounts other than these that nobody has begun for so long: no worker will."""
    named = (batches.c.id, batches.c.account, batches.c.provider)
    old = and_(text("status = 'queued'"), batches.c.created_at <= t.now - older_than)
    rows = t.rows(select(*named).where(old, batches.c.account.not_in(sorted(names))).limit(BATCHES_AT_ONCE))
    return [Lost(row.id, row.account, row.provider) for row in rows]


def give_back_unbegun(t: Transaction, batch_id: UUID) -> int:
    """Take a batch back that nobody has begun; returns how many tasks left it."""
    row = t.execute(select(batches).where(batches.c.id == batch_id).with_for_update()).one_or_none()
    if row is None or row.status != BatchStatus.QUEUED:
        return 0
    aside = quarantine.among(t, row.task_ids)
    mine = [task for task in free_by_ids(t, (i for i in row.task_ids if i not in aside)) if task.batch_id == batch_id]
    store(t, [(task, gave_back(task, t.now)) for task in mine])
    if not remainder(t, batch_id, row.task_ids):
        over = {
            "status": BatchStatus.LOST.value,
            "begun_at": t.now,
            "ended_at": t.now,
            "counts": {"rescued": len(mine)},
        }
        t.execute(update(batches).where(batches.c.id == batch_id).values(over))
    return len(mine)
