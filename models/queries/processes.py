"""Which schedulers and workers run, and what is missing so that nothing happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from ..ledger import GONE_AFTER, SCHEDULER, WORKER, WRITING
from ..sql import sqlite
from ..sql.db import Transaction
from ..sql.tables import processes as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A scheduler or a worker; ``alive``: it recorded so within the last half minute."""

    role: str
    name: str
    version: str
    started_at: datetime
    seen_at: datetime
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A role that no living process has, or :data:`WRITING`.

    Attributes:
        role: which.
        seen_at: when the last one was seen, as far as is known.
    """

    role: str
    seen_at: datetime | None


def processes(t: Transaction) -> tuple[Process, ...] | None:
    """The processes that run, and those that were seen lately; None where the schema does not know of them yet."""
    if t.level < 2:  # noqa: PLR2004 - the schema with processes
        return None
    rows = t.rows(select(table).order_by(table.c.role, table.c.name))
    return tuple(Process(**row._mapping, alive=t.now - row.seen_at < GONE_AFTER) for row in rows)  # noqa: SLF001 - public in all but its name


def missing(t: Transaction, found: Sequence[Process] | None) -> tuple[Missing, ...]:
    """The roles without which no task is retried and which nobody has; none where that is not known."""
    alive = {each.role for each in found or () if each.alive}
    gone = [role for role in (SCHEDULER, WORKER) if role not in alive]
    if found is None or not gone:
        return ()
    if _is_locked(t):
        return (Missing(role=WRITING, seen_at=max((each.seen_at for each in found), default=None)),)
    return tuple(
        Missing(role=role, seen_at=max((each.seen_at for each in found if each.role == role), default=None))
        for role in gone
    )


def _is_locked(t: Transaction) -> bool:
    """Whether nobody can write, so that nobody can say that it runs. A transaction that writes cannot tell."""
    reads = t.connection.get_execution_options().get("redrive_reading")
    return bool(reads) and t.dialect == "sqlite" and sqlite.is_locked(t.connection.engine)
