"""What an account may have claimed now: how many tasks, of which kinds, and whether only as a probe."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import bindparam, select, text

from ..outcome import Cause
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.one_of import listed, one_of_named
from ..sql.tables import batches
from ..states import Operation
from . import accounts, pace, permits

PACE_SECONDS = 10.0
"""What a claim holds where every task is a call, in seconds of the account's pace. What a lost worker had begun stands
still until its lease is over, so that it should be little."""
AHEAD_SECONDS = 2.0
"""So long before a batch has sent its last call the next one is claimed: a pass and a begin take time."""

# Word for word the predicate of the index on open batches: what ended is never read.
_OPEN = text("status IN ('queued', 'sending')")
_ON_ITS_WAY = select(batches.c.size, batches.c.begun_at).where(
    batches.c.account == bindparam("account"), batches.c.operation == bindparam("operation"), _OPEN
)
_EACH_ON_ITS_WAY = select(batches.c.account, batches.c.operation, batches.c.size, batches.c.begun_at).where(
    one_of_named(batches.c.account, "accounts"), _OPEN
)


@dataclass(frozen=True, slots=True)
class Room:
    """What may be claimed now.

    Attributes:
        tasks: how many.
        kinds: of which kinds: those whose path is free.
        probe: one task tries whether the account works again.
        last: it is the last batch that may be in flight.
        suspects: tasks that opened the breaker, which are not good as its probe.
        idle_since: since when none of the paths was called; None when none ever was.
    """

    tasks: int
    kinds: tuple[str, ...]
    probe: bool = False
    last: bool = False
    suspects: frozenset[int] = frozenset()
    idle_since: datetime | None = None


def room(t: Transaction, rules: Rules, operation: Operation, account: accounts.AccountRow) -> Room | None:
    """The room of an account that is locked; None when nothing may be claimed."""
    probe = False
    if account.paused_at is not None:
        probe = account.paused_cause == Cause.BALANCE and account.probe_at is not None and account.probe_at <= t.now
        # Checks too, or tasks that need a check before their retry could never be the probe.
        if not probe:
            return None
    state, paths = pace.read(t, rules, operation)
    if not state.lets_through(t.now):
        return None
    found = _at_this_pace(t.now, rules, operation, paths, _on_its_way(t, rules, operation))
    if found is None or found.tasks < 1:
        return None
    if not (probe or state.half_open):
        return found
    return replace(found, tasks=1, probe=True, suspects=frozenset(state.suspects))


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """A batch that is claimed and has not ended."""

    size: int
    begun_at: datetime | None


def _on_its_way(t: Transaction, rules: Rules, operation: Operation) -> list[OnItsWay]:
    rows = t.rows(_ON_ITS_WAY, account=rules.account, operation=operation.value)
    return [OnItsWay(row.size, row.begun_at) for row in rows]


def without_room(t: Transaction, wanted: Sequence[tuple[Rules, Operation]]) -> set[tuple[str, Operation]]:
    """The accounts' operations among these for which a claim would find no room, seen without a lock.

    It spares the claims that would find none, and decides nothing: a claim decides again, under its account's lock.
    """
    need_it = [(rules, operation) for rules, operation in wanted if rules.capabilities.ids_per_call(operation)]
    under_way = _each_on_its_way(t, [rules.account for rules, _ in need_it])
    stored = pace.stored(t, need_it)
    full = set()
    for rules, operation in need_it:
        key = (rules.account, operation)
        if _is_full(t, rules, operation, under_way[key], stored[key]):
            full.add(key)
    return full


def _each_on_its_way(t: Transaction, names: Iterable[str]) -> Mapping[tuple[str, Operation], list[OnItsWay]]:
    found = defaultdict[tuple[str, Operation], list[OnItsWay]](list)
    for row in t.rows(_EACH_ON_ITS_WAY, accounts=listed(names)):
        found[row.account, Operation(row.operation)].append(OnItsWay(row.size, row.begun_at))
    return found


def _is_full(
    t: Transaction, rules: Rules, operation: Operation, under_way: Sequence[OnItsWay], stored: pace.Stored
) -> bool:
    """Whether there is no room. Not where a moment is not believed as it is stored: a claim has to correct it."""
    if stored.is_doubted(t, rules):
        return False
    state, paths = stored.believed(t, rules)
    if not state.lets_through(t.now):
        return True
    found = _at_this_pace(t.now, rules, operation, paths, under_way)
    return found is None or found.tasks < 1


def claim_seconds(rules: Rules, operation: Operation) -> float:
    """How far ahead a claim takes what can be sent."""
    half = rules.lease_seconds / 2
    return min(half, PACE_SECONDS) if rules.capabilities.ids_per_call(operation) == 1 else half


@dataclass(frozen=True, slots=True)
class Fitting:
    """How many more tasks fit, at the account's pace.

    Attributes:
        soon: beside those that had no time to be sent.
        half_lease: beside all that are claimed: what is claimed is sent long before its lease is over.
        waiting: the tasks that had no time to be sent; ``claimed``: all of them.
    """

    soon: int
    half_lease: int
    waiting: int
    claimed: int

    @property
    def tasks(self) -> int:
        """As many as a claim may take."""
        return min(self.soon, self.half_lease)


def fitting(
    rules: Rules,
    operation: Operation,
    paths: Mapping[str, permits.Path],
    now: datetime,
    under_way: Sequence[OnItsWay],
) -> Fitting:
    """What can be sent soon, less what is claimed and had no time to be sent; never more than in half a lease."""
    claimed = sum(batch.size for batch in under_way)
    waiting = sum(b.size for b in under_way if not _had_its_time(b, rules, operation, now))
    soon = _tasks_within(rules, operation, paths, now, claim_seconds(rules, operation))
    half_lease = _tasks_within(rules, operation, paths, now, rules.lease_seconds / 2)
    return Fitting(soon - waiting, half_lease - claimed, waiting, claimed)


def _tasks_within(
    rules: Rules, operation: Operation, paths: Mapping[str, permits.Path], now: datetime, seconds: float
) -> int:
    """How many tasks the calls of so many seconds are about, on all paths that are free within half a lease."""
    half, calls = rules.lease_seconds / 2, 0
    for path in rules.capabilities.paths(operation):
        left = half - (permits.free_at(paths, path, now) - now).total_seconds()
        calls += int(min(left, seconds) / rules.interval_seconds) + 1 if left >= 0 else 0
    return calls * rules.capabilities.ids_per_call(operation)


def _had_its_time(batch: OnItsWay, rules: Rules, operation: Operation, now: datetime) -> bool:
    """Whether a batch has been with its worker for as long as all its calls take at the account's pace.

    It counts no longer against what can be sent: it ends soon, or its worker is lost.
    """
    calls = ceil(batch.size / rules.capabilities.ids_per_call(operation))
    needed = timedelta(seconds=calls * rules.interval_seconds - AHEAD_SECONDS)
    return batch.begun_at is not None and now - batch.begun_at >= needed


def _at_this_pace(
    now: datetime,
    rules: Rules,
    operation: Operation,
    paths: Mapping[str, permits.Path],
    under_way: Sequence[OnItsWay],
) -> Room | None:
    """What fits, on the paths that are free within half a lease."""
    if len(under_way) >= rules.max_in_flight:
        return None
    fits = fitting(rules, operation, paths, now, under_way).tasks
    horizon = now + timedelta(seconds=rules.lease_seconds / 2)
    kinds = [
        kind
        for path, names in rules.capabilities.paths(operation).items()
        for kind in names
        if permits.free_at(paths, path, now) <= horizon
    ]
    last = len(under_way) + 1 >= rules.max_in_flight
    called = [state.next_at for path, state in paths.items() if state.next_at is not None]
    idle_since = max(called, default=None)
    return Room(min(rules.batch_size, fits), tuple(kinds), last=last, idle_since=idle_since) if kinds else None
