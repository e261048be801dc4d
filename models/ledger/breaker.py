"""The breaker of an account's operation: after calls in a row without a usable answer it is left alone for a while.

Fed by answers and transport errors, never by rescued batches. When its time is over one batch of one task goes
through as a probe; its end closes the breaker or opens it for longer. The rows are ``redrive_limits`` with the
account as group and ``#retry`` or ``#check`` as path.

Silence counts by the call. A complete answer that names a fault of the provider's own counts by the task: one strange
task that is asked about again and again never opens the breaker alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Any
from uuid import UUID

from sqlalchemy import Row, update

from ..doubling import doubled
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.tables import limits
from ..states import Operation
from . import limit_rows, moments
from .health import CallHealth

MOST_SUSPECTS = 10_000
"""As many as the setting ``breaker.failures`` can ask for."""


# A release that knows no suspects reads and writes the same rows: they are believed only beside failures.
_CLOSED: dict[str, Any] = {"failures": 0, "opens": 0, "open_until": None, "probe": None, "why": ""}


@dataclass(frozen=True, slots=True)
class Breaker:
    """Its state as stored.

    Attributes:
        failures: calls without an answer, and tasks with a complete one that names the provider's own fault.
        suspects: these tasks. A probe is better chosen among others.
    """

    failures: int = 0
    opens: int = 0
    open_until: datetime | None = None
    probe: UUID | None = None
    why: str = ""
    suspects: tuple[int, ...] = ()

    def lets_through(self, now: datetime) -> bool:
        """Whether anything may be claimed: closed, or due for a probe that is not under way."""
        return self.open_until is None or (self.probe is None and self.open_until <= now)

    @property
    def half_open(self) -> bool:
        """Whether what is let through is a probe."""
        return self.open_until is not None

    def believed(self, t: Transaction, rules: Rules) -> "Breaker":
        """The same, open for no longer than it can be."""
        return replace(self, open_until=moments.believed(t, self.open_until, moments.latest_opening(rules, t.now)))

    def after(self, call: CallHealth) -> "Breaker":
        """The same with one more call counted. Good news changes nothing of an open one but by its probe."""
        if not call.why:
            return replace(self, failures=0, why="", suspects=()) if self.failures and not self.half_open else self
        fresh = sorted(call.suspects.difference(self.suspects))
        more = len(fresh) if call.suspects else 1
        suspects = (*self.suspects, *fresh)[-MOST_SUSPECTS:]
        return replace(self, failures=self.failures + more, why=call.why, suspects=suspects) if more else self


def row_path(operation: Operation) -> str:
    """The breaker's path; no API path begins like it."""
    return f"#{operation}"


def load(t: Transaction, account: str, operation: Operation) -> Breaker:
    """The breaker of an account's operation; closed when there is no row."""
    where = (limits.c.group == account, limits.c.path == row_path(operation))
    row = t.execute(limit_rows.selected(t.level).where(*where)).one_or_none()
    return of(row) if row is not None else Breaker()


def of(row: Row[Any]) -> Breaker:
    """A breaker from its row. The release before clears ``failures`` and knows no suspects."""
    suspects = tuple(row.suspects or ()) if row.failures else ()
    return Breaker(row.failures, row.opens, row.open_until, row.probe, row.why, suspects)


def probing(t: Transaction, account: str, operation: Operation, batch_id: UUID) -> None:
    """A probe is under way: nothing else is claimed until it ends or is rescued."""
    limit_rows.write(t, account, row_path(operation), probe=batch_id)


def feed(
    t: Transaction, rules: Rules, operation: Operation, old: Breaker, calls: Sequence[CallHealth], *, batch_id: UUID
) -> bool:
    """Count the calls of a batch, in order. False: it may make no more."""
    state = reduce(Breaker.after, calls, old)
    if calls and old.probe == batch_id:
        state = _opened(state, rules, t.now) if calls[-1].why else Breaker()
    elif state.failures >= rules.breaker.failures and old.open_until is None:
        state = _opened(replace(state, opens=0), rules, t.now)
    if state != old:
        store(t, rules.account, operation, state)
    return state.open_until is None or state.probe == batch_id


def end_probe(t: Transaction, rules: Rules, operation: Operation, batch_id: UUID) -> None:
    """The batch ended or was lost: if it was the probe and showed nothing, the breaker opens again."""
    old = load(t, rules.account, operation)
    if old.probe == batch_id:
        store(t, rules.account, operation, _opened(old, rules, t.now))


def _opened(state: Breaker, rules: Rules, now: datetime) -> Breaker:
    """Open for twice as long each time, up to the longest."""
    seconds = doubled(rules.breaker.open_seconds, state.opens, rules.breaker.max_open_seconds)
    return replace(state, opens=state.opens + 1, open_until=now + timedelta(seconds=seconds), probe=None)


def store(t: Transaction, account: str, operation: Operation, state: Breaker) -> None:
    """Write the breaker's row."""
    limit_rows.write(
        t, account, row_path(operation), failures=state.failures, opens=state.opens, open_until=state.open_until,
        probe=state.probe, why=state.why, suspects=list(state.suspects) or None,
    )  # fmt: skip


def mend(t: Transaction, account: str, operation: Operation, stored: Breaker, believed: Breaker) -> None:
    """Store until when it is believed to be open, unless somebody has moved it meanwhile."""
    mine = (limits.c.group == account, limits.c.path == row_path(operation), limits.c.open_until == stored.open_until)
    t.execute(update(limits).where(*mine).values(open_until=believed.open_until))


def close(t: Transaction, account: str) -> None:
    """Close the account's breakers, and forget what else was counted against it: somebody says that it works again."""
    t.execute(update(limits).where(limits.c.group == account, limits.c.path.startswith("#")).values(_CLOSED))


def half_open(t: Transaction, account: str, operation: Operation, why: str) -> bool:
    """Leave the operation to one task, at once. False: a probe is under way, which stays the only one."""
    old = load(t, account, operation)
    if old.probe is None:
        store(t, account, operation, replace(old, open_until=t.now, why=old.why or why))
    return old.probe is None
