"""What an account may have claimed now: how many tasks, of which kinds, and whether only as a probe."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select, text

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


_ON_ITS_WAY = select(func.count().label("batches"), func.coalesce(func.sum(batches.c.size), 0).label("tasks")).where(
    batches.c.account == bindparam("account"),
    batches.c.operation == bindparam("operation"),
    text("status IN ('queued', 'sending')"),
)


def _at_this_pace(t: Transaction, rules: Rules, operation: Operation, paths: Mapping[str, permits.Path]) -> Room | None:
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
    called = [state.next_at for path, state in paths.items() if state.next_at is not None]
    idle_since = max(called, default=None)
    return Room(min(rules.batch_size, waiting), tuple(kinds), last=last, idle_since=idle_since) if kinds else None
