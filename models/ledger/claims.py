"""Claims: what is due of one account, taken into a batch in one short transaction.

A claim looks at permits but takes none. Every due row it looks at is claimed, or moved so that the next claim does
not look at it again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    union_all,
    update,
)

from ..capabilities import Capabilities
from ..db import Transaction
from ..lifecycle import Claimed, Context, LookFirst, consider
from ..one_of import listed, one_of_named
from ..outcome import Cause
from ..rules import Rules
from ..states import FAILED_STATES, Operation
from ..tables import CHECK_DUE, RETRY_DUE, attempts, batches, tasks
from ..task import Task
from . import accounts, breaker, pace, permits
from .quarantine import not_set_aside
from .rows import Change, by_ids, open_attempts, store

PROBE_CHOICE = 100
"""A probe is the least spent of so many due tasks, so that one poisoned task does not keep a breaker open."""

FIRST_REPUBLISH_SECONDS = 5.0


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
    """What a claim did: the batch it made, if any, and how many due rows it looked at.

    ``more``: there may be more to claim at once.
    """

    batch: Batch | None = None
    looked_at: int = 0
    dead: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Room:
    """What may be claimed now: how many tasks, of which kinds, whether as a probe, and whether it is the last batch."""

    tasks: int
    kinds: tuple[str, ...]
    probe: bool = False
    last: bool = False


def claim(
    t: Transaction, rules: Rules, operation: Operation, rng: Random, *, only: Collection[int] | None = None
) -> Claim:
    """Claim due tasks of an account for one operation; an empty claim when it may not act or nothing is due.

    Args:
        t: where.
        rules: the account's.
        operation: retry or check.
        rng: dice for the waits.
        only: none but these tasks, for whoever looks for the one that a claim fails over.

    Raises:
        Locked: somebody else holds the account.
    """
    account = accounts.locked(t, rules.account)
    if account is None or account.provider != rules.provider:
        return Claim()
    room = _room(t, rules, operation, account)
    if room is None:
        return Claim()
    if operation is Operation.CHECK:
        done = _claim_checks(t, rules, room, only)
    else:
        done = _claim_retries(t, rules, room, rng, only)
    return replace(done, more=done.looked_at > 0 and not (done.batch and (room.last or room.probe)))


def due_ids(t: Transaction, rules: Rules, operation: Operation) -> list[int]:
    """The ids, and nothing else, of the tasks that the next claim looks at: for when one of them cannot be read."""
    wanted = max(rules.batch_size, PROBE_CHOICE)
    due = (tasks.c.account == rules.account, tasks.c.due_at <= t.now, not_set_aside(t.level))
    if operation is Operation.CHECK:
        first = select(tasks.c.id).where(text(CHECK_DUE), *due).order_by(tasks.c.due_at)
    else:
        first = select(tasks.c.id).where(text(RETRY_DUE), *due).order_by(tasks.c.priority.desc(), tasks.c.due_at)
    return [row.id for row in t.rows(first.limit(wanted))]


def _room(t: Transaction, rules: Rules, operation: Operation, account: accounts.Account) -> _Room | None:
    probe = False
    if account.paused_at is not None:
        probe = account.paused_cause == Cause.BALANCE and account.probe_at is not None and account.probe_at <= t.now
        # Checks too, or tasks that need a look before their retry could never be the probe.
        if not probe:
            return None
    state, paths = pace.read(t, rules, operation)
    if not state.lets_through(t.now):
        return None
    room = _at_this_pace(t, rules, operation, paths)
    if room is None or room.tasks < 1:
        return None
    return replace(room, tasks=1, probe=True) if probe or state.half_open else room


_ON_ITS_WAY = select(func.count().label("batches"), func.coalesce(func.sum(batches.c.size), 0).label("tasks")).where(
    batches.c.account == bindparam("account"),
    batches.c.operation == bindparam("operation"),
    text("status IN ('queued', 'sending')"),
)


def _at_this_pace(
    t: Transaction, rules: Rules, operation: Operation, paths: Mapping[str, permits.Path]
) -> _Room | None:
    """What can be sent in half a lease, less what is claimed already and not sent."""
    counted = t.rows(_ON_ITS_WAY, account=rules.account, operation=operation.value)[0]
    if counted.batches >= rules.max_in_flight:
        return None
    horizon = t.now + timedelta(seconds=rules.lease_seconds / 2)
    calls, kinds = 0, list[str]()
    for path, names in rules.capabilities.paths(operation).items():
        seconds = (horizon - permits.free_at(paths, path, t.now)).total_seconds()
        if seconds >= 0:
            calls += int(seconds / rules.interval_seconds) + 1
            kinds += names
    waiting = calls * rules.capabilities.ids_per_call(operation) - int(counted.tasks)
    last = counted.batches + 1 >= rules.max_in_flight
    return _Room(min(rules.batch_size, waiting), tuple(kinds), last=last) if kinds else None


def _claim_retries(t: Transaction, rules: Rules, room: _Room, rng: Random, only: Collection[int] | None) -> Claim:
    due = _due_retries(t, rules, room, only)
    if not due:
        return Claim()
    batch_id, context = uuid4(), Context(rules, t.now, rng)
    busy = busy_ones(t, rules.capabilities, due)
    decided = [(task, consider(task, batch_id, context, busy=task.id in busy)) for task in due]
    changes: list[Change] = [(task, decision.task) for task, decision in decided]
    store(t, changes)
    taken = [task for task, decision in decided if isinstance(decision, Claimed)]
    dead = sum(decision.task.dead_reason is not None for _, decision in decided if not isinstance(decision, LookFirst))
    if not taken:
        return Claim(None, len(due), dead)
    return Claim(_batch(t, rules, Operation.RETRY, taken, batch_id, probe=room.probe), len(due), dead)


@cache
def _due_retries_of(level: int, *, of_kinds: bool, only: bool) -> Select[Any]:
    """Locked as they are picked: rows that a host holds must not stand before those behind them."""
    more = [not_set_aside(level), *([_OF_KINDS] if of_kinds else []), *([_ONLY] if only else [])]
    first = union_all(*(_of_priority(priority, more).subquery().select() for priority in (1, 0, -1))).subquery()
    return select(first).order_by(first.c.priority.desc(), first.c.due_at, first.c.id).limit(_WANTED)


def _of_priority(priority: int, more: Sequence[ColumnElement[bool]]) -> Select[Any]:
    where: ColumnElement[bool] = and_(
        tasks.c.account == bindparam("account"),
        text(RETRY_DUE),
        tasks.c.priority == literal_column(str(priority)),
        tasks.c.due_at <= bindparam("now"),
        *more,
    )
    # By nothing that the index does not end with: all that became due in one moment would be read and sorted.
    chosen = select(tasks).where(where).order_by(tasks.c.due_at).limit(_WANTED)
    return chosen.with_for_update(key_share=True, skip_locked=True)


_WANTED = bindparam("wanted", type_=Integer())
_OF_KINDS = tasks.c.kind.in_(bindparam("kinds", expanding=True))
_ONLY = one_of_named(tasks.c.id, "only")


def _due_retries(t: Transaction, rules: Rules, room: _Room, only: Collection[int] | None) -> list[Task]:
    """Due tasks, the urgent first. One index range per priority: a single range would read all that is not due."""
    of_kinds = len(room.kinds) < len(rules.capabilities.kinds)
    values: dict[str, Any] = {"account": rules.account, "now": t.now}
    values["wanted"] = PROBE_CHOICE if room.probe else room.tasks
    values |= {"kinds": room.kinds} if of_kinds else {}
    values |= {"only": listed(only)} if only is not None else {}
    rows = t.rows(_due_retries_of(t.level, of_kinds=of_kinds, only=only is not None), **values)
    # Asked again of the locked row, which somebody may have moved since. Not in SQL: with statistics from when the
    # table was small, PostgreSQL would read all that is due to find these few.
    due = [task for row in rows if _retry_due(task := Task.of(row), t.now)]
    return sorted(due, key=lambda task: (task.spent, task.id))[:1] if room.probe else due


def _retry_due(task: Task, now: datetime) -> bool:
    """What ``RETRY_DUE`` says in SQL, and that its moment has come."""
    waits = task.next is Operation.RETRY and task.status in FAILED_STATES
    return waits and task.due_at is not None and task.due_at <= now


def busy_ones(t: Transaction, capabilities: Capabilities, due: Sequence[Task]) -> set[int]:
    """Due tasks that must wait: an attempt of theirs is open, or what excludes them is under way or claimed here."""
    busy = {*open_attempts(t, (task.id for task in due))}
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


def _claim_checks(t: Transaction, rules: Rules, room: _Room, only: Collection[int] | None) -> Claim:
    """A lost check is due again by itself: claiming one only moves its moment by a lease."""
    where: ColumnElement[bool] = and_(
        tasks.c.account == rules.account, text(CHECK_DUE), tasks.c.due_at <= t.now, not_set_aside(t.level)
    )
    if only is not None:
        where = and_(where, by_ids(only))
    if len(room.kinds) < len(rules.capabilities.kinds):
        where = and_(where, tasks.c.kind.in_(room.kinds))
    chosen = select(tasks).where(where).order_by(tasks.c.due_at).limit(room.tasks)
    due = [Task.of(row) for row in t.rows(chosen.with_for_update(key_share=True, skip_locked=True))]
    if not due:
        return Claim()
    again = t.now + timedelta(seconds=rules.lease_seconds)
    t.execute(update(tasks).where(by_ids(task.id for task in due)).values(due_at=again))
    return Claim(_batch(t, rules, Operation.CHECK, due, uuid4(), probe=room.probe), len(due))


_NEW = insert(batches)


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
