"""What an account may have claimed now: how many tasks, of which kinds, and whether only as a probe."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from sqlalchemy import Row, bindparam, select, text

from ..db import Transaction
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
    found = _at_this_pace(t, rules, operation, paths)
    if found is None or found.tasks < 1:
        return None
    if not (probe or state.half_open):
        return found
    return replace(found, tasks=1, probe=True, suspects=frozenset(state.suspects))


PACE_SECONDS = 10.0
"""What a claim holds where every task is a call, in seconds of the account's pace. What a lost worker had begun stands
still until its lease is over, so that it should be little."""
AHEAD_SECONDS = 2.0
"""So long before a batch has sent its last call the next one is claimed: a pass and a begin take time."""

_ON_ITS_WAY = select(batches.c.size, batches.c.begun_at).where(
    batches.c.account == bindparam("account"),
    batches.c.operation == bindparam("operation"),
    text("status IN ('queued', 'sending')"),
)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """What is claimed and not ended.

    Attributes:
        batches: how many.
        tasks: of all of them.
        unsent: of those that have not had the time to send all they hold; the worker of another may be lost.
    """

    batches: int
    tasks: int
    unsent: int


def _under_way(t: Transaction, rules: Rules, operation: Operation) -> _UnderWay:
    rows = t.rows(_ON_ITS_WAY, account=rules.account, operation=operation.value)
    unsent = sum(row.size for row in rows if not _had_its_time(row, rules, operation, t.now))
    return _UnderWay(len(rows), sum(row.size for row in rows), unsent)


def _had_its_time(row: Row[Any], rules: Rules, operation: Operation, now: datetime) -> bool:
    """Whether a batch has been with its worker for as long as all its calls take at the account's pace."""
    calls = ceil(row.size / rules.capabilities.ids_per_call(operation))
    seconds = calls * rules.interval_seconds - AHEAD_SECONDS
    return row.begun_at is not None and now - row.begun_at >= timedelta(seconds=seconds)


def _at_this_pace(t: Transaction, rules: Rules, operation: Operation, paths: Mapping[str, permits.Path]) -> Room | None:
    """What can be sent in half a lease, less what is claimed already; where every task is a call, in some seconds."""
    claimed = _under_way(t, rules, operation)
    if claimed.batches >= rules.max_in_flight:
        return None
    ids, half = rules.capabilities.ids_per_call(operation), rules.lease_seconds / 2
    soon = min(half, PACE_SECONDS) if ids == 1 else half
    next_calls, calls, kinds = 0, 0, list[str]()
    for path, names in rules.capabilities.paths(operation).items():
        seconds = half - (permits.free_at(paths, path, t.now) - t.now).total_seconds()
        if seconds >= 0:
            next_calls += int(min(seconds, soon) / rules.interval_seconds) + 1
            calls += int(seconds / rules.interval_seconds) + 1
            kinds += names
    waiting = min(next_calls * ids - claimed.unsent, calls * ids - claimed.tasks)
    last = claimed.batches + 1 >= rules.max_in_flight
    called = [state.next_at for path, state in paths.items() if state.next_at is not None]
    idle_since = max(called, default=None)
    return Room(min(rules.batch_size, waiting), tuple(kinds), last=last, idle_since=idle_since) if kinds else None
