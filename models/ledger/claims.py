"""Claims: what is due of one account, taken into a batch in one short transaction.

A claim reads permits but takes none. Every due row it reads is claimed, or moved so that the next claim does not read
it again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from uuid import UUID, uuid4

from sqlalchemy import and_, exists, insert, or_, select, update

from ..capabilities import Capabilities
from ..lifecycle import CheckFirst, Claimed, Context, Decision, SetAsideTask, consider, uncheckable, woken
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.one_of import one_of
from ..sql.tables import archives, attempts, batches, tasks
from ..states import Operation
from ..task import Task
from . import accounts, breaker, contexts, quarantine, standstills
from .due_tasks import due_checks, due_retries, resting_ones
from .early_checks import early_checks
from .room import Room, room
from .rows import Change, by_ids, store, unanswered

STANDSTILL = timedelta(minutes=1)
"""Work that was due for longer, while nobody called, has stood still."""

FIRST_REPUBLISH_SECONDS = 5.0


# Made once: SQLAlchemy compiles an insert anew for each new object.
_NEW = insert(batches)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a job says of its batch, for people's eyes; the worker trusts only the row."""

    id: UUID
    account: str
    provider: str
    operation: Operation
    size: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim did: the batch it made, if any, and how many due rows it read.

    ``more``: there may be more to claim at once.
    """

    batch: Batch | None = None
    examined: int = 0
    dead: int = 0
    more: bool = False


def claim(
    t: Transaction,
    rules: Rules,
    operation: Operation,
    rng: Random,
    *,
    only: Collection[int] | None = None,
    resting: bool = False,
) -> Claim:
    """Claim due tasks of an account for one operation; an empty claim when it may not act or nothing is due.

    Args:
        t: where.
        rules: the account's.
        operation: retry or check.
        rng: dice for the waits.
        only: none but these tasks, for finding the one that a claim fails over.
        resting: what rests because the policy was another one, instead of what is due.

    Raises:
        Locked: somebody else holds the account.
    """
    account = accounts.locked(t, rules.account)
    if account is None or account.provider != rules.provider:
        return Claim()
    if operation is Operation.CHECK and not rules.capabilities.can_check:
        return _decide_uncheckable(t, contexts.context(t, rules, rng), only)
    # The one task that a claim fails over must be found also when there is no room at the moment.
    free = room(t, rules, operation, account) if only is None else Room(len(only), rules.capabilities.every_kind)
    if free is None:
        return Claim()
    if operation is Operation.CHECK:
        done = _claim_checks(t, rules, free, only)
    else:
        due = due_retries(t, rules, free, only) if not resting else resting_ones(t, rules, free)
        done = _claim_retries(t, rules, free, due, rng)
    return replace(done, more=done.examined > 0 and not (done.batch and (free.last or free.probe)))


def _claim_retries(t: Transaction, rules: Rules, room: Room, due: Sequence[Task], rng: Random) -> Claim:
    if not due:
        return Claim()
    batch_id, context = uuid4(), contexts.context(t, rules, rng)
    decided = _considered(t, due, batch_id, context)
    changes: list[Change] = [(task, decision.task) for task, decision in decided]
    store(t, changes)
    _set_aside(t, [decision for _, decision in decided])
    _note_standstill(t, rules, Operation.RETRY, room, due)
    taken = [task for task, decision in decided if isinstance(decision, Claimed)]
    dead = sum(decision.task.dead_reason is not None for _, decision in decided if not isinstance(decision, CheckFirst))
    if not taken:
        return Claim(None, len(due), dead)
    return Claim(_batch(t, rules, Operation.RETRY, taken, batch_id, probe=room.probe), len(due), dead)


def _considered(t: Transaction, due: Sequence[Task], batch_id: UUID, context: Context) -> list[tuple[Task, Decision]]:
    busy = busy_ones(t, context.rules.capabilities, due)
    unkept = _without_archive(t, due) if context.rules.archives else frozenset()
    return [
        (
            task,
            consider(woken(task, context), batch_id, context, busy=task.id in busy, archived=task.id not in unkept),
        )
        for task in due
    ]


def _without_archive(t: Transaction, due: Sequence[Task]) -> frozenset[int]:
    """Those whose last result, which a retry overwrites, is not kept."""
    columns = (archives.c.task_id, archives.c.number)
    kept = {
        (row.task_id, row.number)
        for row in t.rows(select(*columns).where(one_of(archives.c.task_id, (x.id for x in due))))
    }
    return frozenset(task.id for task in due if (task.id, task.attempts) not in kept)


def _set_aside(t: Transaction, decisions: Sequence[Decision]) -> None:
    odd = [quarantine.Odd(x.task.id, x.task.account, x.cause, x.why) for x in decisions if isinstance(x, SetAsideTask)]
    quarantine.set_aside(t, odd)


def busy_ones(t: Transaction, capabilities: Capabilities, due: Sequence[Task]) -> set[int]:
    """Due tasks that must wait: an attempt of theirs is open, or what excludes them is under way or claimed here."""
    busy = {*unanswered(t, (task.id for task in due))}
    conflicts = {kind.name: kind.conflict for kind in capabilities.kinds if kind.conflict}
    if not conflicts:
        return busy
    under_way = _under_way(t, due, conflicts)
    for task in due:
        mine = conflicts.get(task.kind, "")
        words = under_way.setdefault(task.external_id, set())
        if task.id not in busy and mine and words - {mine}:
            busy.add(task.id)
        elif task.id not in busy and mine:
            words.add(mine)
    return busy


def _under_way(t: Transaction, due: Sequence[Task], conflicts: dict[str, str]) -> dict[str, set[str]]:
    same = and_(
        tasks.c.account == due[0].account,
        tasks.c.kind.in_(sorted(conflicts)),
        tasks.c.external_id.in_(sorted({task.external_id for task in due})),
        or_(
            tasks.c.status.in_(("in_flight", "retrying", "unknown")),
            exists().where(attempts.c.task_id == tasks.c.id, attempts.c.closed_at.is_(None)),
        ),
    )
    found: dict[str, set[str]] = {}
    for row in t.rows(select(tasks.c.external_id, tasks.c.kind).where(same)):
        found.setdefault(row.external_id, set()).add(conflicts[row.kind])
    return found


def _claim_checks(t: Transaction, rules: Rules, room: Room, only: Collection[int] | None) -> Claim:
    """A lost check is due again by itself: claiming one only moves its moment by a lease."""
    # As a probe: none of those that opened the breaker, as long as there is another.
    wanted = room.tasks + len(room.suspects)
    found = due_checks(t, rules, room.kinds, wanted, only)
    due = sorted(found, key=lambda task: task.id in room.suspects)[: room.tasks]
    if not due:
        return Claim()
    _note_standstill(t, rules, Operation.CHECK, room, due)
    if only is None and not room.probe:
        due += early_checks(t, rules, room.kinds, len(due), room.tasks - len(due))
    again = t.now + timedelta(seconds=rules.lease_seconds)
    t.execute(update(tasks).where(by_ids(task.id for task in due)).values(due_at=again, updated_at=t.now))
    return Claim(_batch(t, rules, Operation.CHECK, due, uuid4(), probe=room.probe), len(due))


def _decide_uncheckable(t: Transaction, context: Context, only: Collection[int] | None) -> Claim:
    """Due checks at a provider that has no status call, or has it no more: decided at once, without a batch."""
    rules = context.rules
    due = due_checks(t, rules, rules.capabilities.every_kind, rules.batch_size, only)
    store(t, [(task, uncheckable(task, context)) for task in due])
    return Claim(examined=len(due), more=len(due) == rules.batch_size)


def _note_standstill(t: Transaction, rules: Rules, operation: Operation, room: Room, due: Sequence[Task]) -> None:
    """The time that these tasks were due and no call was made does not make them older.

    An account that shares its paths with others may stand still while these are called: then only its probes tell.
    """
    since = min((task.due_at for task in due if task.due_at is not None), default=t.now)
    if not room.probe and room.idle_since is not None:
        since = max(since, room.idle_since)
    if t.now - since > STANDSTILL:
        standstills.note(t, rules.account, operation, since, t.now)


def _batch(
    t: Transaction, rules: Rules, operation: Operation, taken: list[Task], batch_id: UUID, *, probe: bool
) -> Batch:
    t.execute(
        _NEW, id=batch_id, account=rules.account, provider=rules.provider, operation=operation.value,
        task_ids=[task.id for task in taken], size=len(taken), probe=probe, created_at=t.now,
        # Published right after this commit; the row says when it is published again should that be lost.
        publishes=1, publish_at=t.now + timedelta(seconds=FIRST_REPUBLISH_SECONDS),
    )  # fmt: skip
    if probe:
        _probing(t, rules, operation, batch_id)
    return Batch(batch_id, rules.account, rules.provider, operation, len(taken))


def _probing(t: Transaction, rules: Rules, operation: Operation, batch_id: UUID) -> None:
    account = accounts.locked(t, rules.account)
    if account is not None and account.probe_at is not None and operation is Operation.RETRY:
        accounts.probing(t, account)
    if breaker.load(t, rules.account, operation).half_open:
        breaker.probing(t, rules.account, operation, batch_id)
