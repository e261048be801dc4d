"""Who is at work: a row per scheduler and worker, written again and again while it runs."""

from datetime import datetime, timedelta

from sqlalchemy import String, column, delete, insert, table, update

from ..db import Transaction
from ..types import Moment

SCHEDULER, WORKER = "scheduler", "worker"

BEAT_SECONDS = 10.0
"""How often a process writes its row."""

GONE_AFTER = timedelta(seconds=3 * BEAT_SECONDS)
"""A process whose row is older does not run any more, or is cut off from the database."""

FORGOTTEN_AFTER = timedelta(days=1)
"""How long the row of a process that ended without a word is kept: it says when the last one was seen."""

processes = table(
    "redrive_processes",
    column("role", String()),
    column("name", String()),
    column("version", String()),
    column("started_at", Moment()),
    column("seen_at", Moment()),
)


def beat(t: Transaction, role: str, name: str, *, version: str, started_at: datetime) -> None:
    """Say that a process runs. Its name is its own: host and process id."""
    mine = (processes.c.role == role, processes.c.name == name)
    moved = t.execute(update(processes).where(*mine).values(seen_at=t.now, version=version, started_at=started_at))
    if not moved.rowcount:
        row = {"role": role, "name": name, "version": version, "started_at": started_at, "seen_at": t.now}
        t.execute(insert(processes).values(**row))


def ended(t: Transaction, role: str, name: str) -> None:
    """Take a process off the list that ends as it should; one that is killed is missed after :data:`GONE_AFTER`."""
    t.execute(delete(processes).where(processes.c.role == role, processes.c.name == name))


def forget(t: Transaction) -> None:
    """Delete the rows of processes that were not seen for long."""
    t.execute(delete(processes).where(processes.c.seen_at < t.now - FORGOTTEN_AFTER))
