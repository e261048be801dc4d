"""Which schedulers and workers run, and which kind is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from ..db import Transaction
from ..ledger.processes import GONE_AFTER, SCHEDULER, WORKER
from ..tables import processes as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A scheduler or a worker; ``alive``: it said so within the last half minute."""

    role: str
    name: str
    version: str
    started_at: datetime
    seen_at: datetime
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A role that no living process has; ``seen_at``: when the last one was seen, as far as is known."""

    role: str
    seen_at: datetime | None


def processes(t: Transaction) -> tuple[Process, ...] | None:
    """The processes that run, and those that were seen lately; None where the schema does not know of them yet."""
    if t.level < 2:  # noqa: PLR2004 - the schema with processes
        return None
    rows = t.rows(select(table).order_by(table.c.role, table.c.name))
    return tuple(Process(**row._mapping, alive=t.now - row.seen_at < GONE_AFTER) for row in rows)  # noqa: SLF001 - public in all but its name


def missing(found: Sequence[Process] | None) -> tuple[Missing, ...]:
    """The roles without which no task is retried and which nobody has; none where that is not known."""
    if found is None:
        return ()
    alive = {each.role for each in found if each.alive}
    return tuple(
        Missing(role=role, seen_at=max((each.seen_at for each in found if each.role == role), default=None))
        for role in (SCHEDULER, WORKER)
        if role not in alive
    )
