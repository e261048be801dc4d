"""The breaker of an account's operation: after calls in a row without a usable answer it is left alone for a while.

Fed by answers and transport errors, never by rescued batches. When its time is over one batch of one task goes
through as a probe; its end closes the breaker or opens it for longer. The rows are ``redrive_limits`` with the
account as group and ``#retry`` or ``#check`` as path.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, update

from ..db import Transaction, insert_for
from ..rules import Rules
from ..states import Operation
from ..tables import limits


@dataclass(frozen=True, slots=True)
class Breaker:
    """Its state as stored."""

    failures: int = 0
    opens: int = 0
    open_until: datetime | None = None
    probe: UUID | None = None
    why: str = ""

    def lets_through(self, now: datetime) -> bool:
        """Whether anything may be claimed: closed, or due for a probe that is not under way."""
        return self.open_until is None or (self.probe is None and self.open_until <= now)

    @property
    def half_open(self) -> bool:
        """Whether what is let through is a probe."""
        return self.open_until is not None


def row_path(operation: Operation) -> str:
    """The breaker's path; no API path begins like it."""
    return f"#{operation}"


def load(t: Transaction, account: str, operation: Operation) -> Breaker:
    """The breaker of an account's operation; closed when there is no row."""
    where = (limits.c.group == account, limits.c.path == row_path(operation))
    row = t.execute(select(limits).where(*where)).one_or_none()
    return of(row) if row is not None else Breaker()


def of(row: Row[Any]) -> Breaker:
    """A breaker from its row."""
    return Breaker(row.failures, row.opens, row.open_until, row.probe, row.why)


def probing(t: Transaction, account: str, operation: Operation, batch_id: UUID) -> None:
    """A probe is under way: nothing else is claimed until it ends or is rescued."""
    _set(t, account, operation, probe=batch_id)


def heard(
    t: Transaction, rules: Rules, operation: Operation, old: Breaker, calls: list[str], *, batch_id: UUID
) -> bool:
    """What calls of a batch said, in order: '' for a usable answer, words for none. False: it may make no more."""
    now = load(t, rules.account, operation) if _told(t, rules, operation, old, calls, batch_id) else old
    return now.open_until is None or now.probe == batch_id


def _told(t: Transaction, rules: Rules, operation: Operation, old: Breaker, calls: list[str], batch_id: UUID) -> bool:
    """Whether that changed it."""
    failures, why = old.failures, old.why
    for words in calls:
        failures, why = (failures + 1, words) if words else (0, "")
    if calls and old.probe == batch_id:
        _probed(t, rules, operation, old, failures, why)
    elif failures >= rules.breaker.failures and old.open_until is None:
        _open(t, rules, operation, Breaker(failures, 0, None, None, why))
    elif failures != old.failures:
        _set(t, rules.account, operation, failures=failures, why=why)
    else:
        return False
    return True


def close(t: Transaction, account: str) -> None:
    """Close the account's breakers: somebody says that it works again."""
    _move(t, account, failures=0, opens=0, open_until=None, probe=None, why="")


def half_open(t: Transaction, account: str, why: str) -> None:
    """Leave both breakers to one task each, at once; a probe that is under way stays the only one."""
    for operation in Operation:
        old = load(t, account, operation)
        if old.probe is None:
            _set(t, account, operation, open_until=t.now, why=old.why or why)


def _move(t: Transaction, account: str, **values: Any) -> None:
    mine = (limits.c.group == account, limits.c.path.in_([row_path(operation) for operation in Operation]))
    t.execute(update(limits).where(*mine).values(**values))


def probe_over(t: Transaction, rules: Rules, operation: Operation, batch_id: UUID) -> None:
    """The batch ended or was lost: if it was the probe and told nothing, the breaker opens again."""
    old = load(t, rules.account, operation)
    if old.probe == batch_id:
        _open(t, rules, operation, old)


def _probed(t: Transaction, rules: Rules, operation: Operation, old: Breaker, failures: int, why: str) -> None:
    if failures:
        _open(t, rules, operation, Breaker(failures, old.opens, None, None, why))
    else:
        _set(t, rules.account, operation, failures=0, opens=0, open_until=None, probe=None, why="")


def _open(t: Transaction, rules: Rules, operation: Operation, state: Breaker) -> None:
    seconds = min(rules.breaker.open_seconds * 2.0 ** min(state.opens, 16), rules.breaker.max_open_seconds)
    _set(
        t, rules.account, operation, failures=state.failures, opens=state.opens + 1,
        open_until=t.now + timedelta(seconds=seconds), probe=None, why=state.why,
    )  # fmt: skip


def _set(t: Transaction, account: str, operation: Operation, **values: Any) -> None:
    path = row_path(operation)
    result = t.execute(update(limits).where(limits.c.group == account, limits.c.path == path).values(**values))
    if not result.rowcount:
        t.execute(insert_for(t)(limits).values(group=account, path=path, **values))
