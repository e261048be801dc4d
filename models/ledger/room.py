"""What an account may have claimed now: how many tasks, of which kinds, and whether only as a probe."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select, text

from ..db import Transaction
from ..one_of import listed, one_of_named
from ..outcome import Cause
from ..rules import Rules
from ..states import Operation
from ..tables import batches
from . import accounts, pace, permits


@dataclass(frozen=True, slots=True)
class Room:
    """What may be claimed now.

    Attributes:
        tasks: how many.
        kinds: of which kinds: those whose path is free.
        probe: one task tries whether the account works again.
        last: it is the last batch that may be in flight.
        suspects: tasks that opened the breaker, which are no good as its probe.
        idle_since: since when none of the paths was called; None when none ever was.
    """

    tasks: int
    kinds: tuple[str, ...]
    probe: bool = False
    last: bool = False
    suspects: frozenset[int] = frozenset()
    idle_since: datetime | None = None


def room(t: Transaction, rules: Rules, operation: Operation, account: accounts.Account) -> Room | None:
    """The room of an account that is locked; None when nothing may be claimed."""
    probe = False
    if account.paused_at is not None:
        probe = account.paused_cause == Cause.BALANCE and account.probe_at is not None and account.probe_at <= t.now
        # Checks too, or tasks that need a look before their retry could never be the probe.
        if not probe:
            return None
    state, paths = pace.read(t, rules, operation)
    if not state.lets_through(t.now):
        return None
    counted = t.rows(_ON_ITS_WAY, account=rules.account, operation=operation.value)[0]
    found = _at_this_pace(t.now, rules, operation, paths, OnItsWay(counted.batches, int(counted.tasks)))
    if found is None or found.tasks < 1:
        return None
    if not (probe or state.half_open):
        return found
    return replace(found, tasks=1, probe=True, suspects=frozenset(state.suspects))


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """What is claimed and has not ended: how many batches, and of how many tasks."""

    batches: int = 0
    tasks: int = 0


_COUNTED = (func.count().label("batches"), func.coalesce(func.sum(batches.c.size), 0).label("tasks"))
_OPEN = text("status IN ('queued', 'sending')")
_ON_ITS_WAY = select(*_COUNTED).where(
    batches.c.account == bindparam("account"), batches.c.operation == bindparam("operation"), _OPEN
)
_EACH_ON_ITS_WAY = (
    select(batches.c.account, batches.c.operation, *_COUNTED)
    .where(one_of_named(batches.c.account, "accounts"), _OPEN)
    .group_by(batches.c.account, batches.c.operation)
)


def without_room(t: Transaction, wanted: Sequence[tuple[Rules, Operation]]) -> set[tuple[str, Operation]]:
    """The accounts' operations among these for which a claim would find no room, seen without a lock.

    It spares the claims that would find none, and decides nothing: a claim looks again, under its account's lock.
    """
    need_it = [(rules, operation) for rules, operation in wanted if rules.capabilities.ids_per_call(operation)]
    counted = _each_on_its_way(t, [rules.account for rules, _ in need_it])
    stored = pace.stored(t, need_it)
    full = set()
    for rules, operation in need_it:
        key = (rules.account, operation)
        if _is_full(t, rules, operation, counted.get(key, OnItsWay()), stored[key]):
            full.add(key)
    return full


def _each_on_its_way(t: Transaction, names: Iterable[str]) -> dict[tuple[str, Operation], OnItsWay]:
    rows = t.rows(_EACH_ON_ITS_WAY, accounts=listed(names))
    return {(row.account, Operation(row.operation)): OnItsWay(row.batches, int(row.tasks)) for row in rows}


def _is_full(t: Transaction, rules: Rules, operation: Operation, counted: OnItsWay, stored: pace.Stored) -> bool:
    """Whether there is no room. Not where a moment is not believed as it is stored: a claim has to mend it."""
    if stored.is_doubted(t, rules):
        return False
    state, paths = stored.believed(t, rules)
    if not state.lets_through(t.now):
        return True
    found = _at_this_pace(t.now, rules, operation, paths, counted)
    return found is None or found.tasks < 1


def _at_this_pace(
    now: datetime, rules: Rules, operation: Operation, paths: Mapping[str, permits.Path], counted: OnItsWay
) -> Room | None:
    """What can be sent in half a lease, less what is claimed already and not sent."""
    if counted.batches >= rules.max_in_flight:
        return None
    horizon = now + timedelta(seconds=rules.lease_seconds / 2)
    calls, kinds = 0, list[str]()
    for path, names in rules.capabilities.paths(operation).items():
        seconds = (horizon - permits.free_at(paths, path, now)).total_seconds()
        if seconds >= 0:
            calls += int(seconds / rules.interval_seconds) + 1
            kinds += names
    waiting = calls * rules.capabilities.ids_per_call(operation) - counted.tasks
    last = counted.batches + 1 >= rules.max_in_flight
    called = [state.next_at for path, state in paths.items() if state.next_at is not None]
    idle_since = max(called, default=None)
    return Room(min(rules.batch_size, waiting), tuple(kinds), last=last, idle_since=idle_since) if kinds else None
