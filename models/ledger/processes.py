"""Who is at work: a row per scheduler and worker, written again and again while it runs."""

from datetime import datetime, timedelta

from sqlalchemy import delete

from ..sql.db import Transaction, insert_for
from ..sql.tables import processes

SCHEDULER, WORKER = "scheduler", "worker"

WRITING = "database"
"""In place of a role: nobody can write to the SQLite file, and so not even that it runs."""

BEAT_SECONDS = 10.0
"""How often a process writes its row."""

GONE_AFTER = timedelta(seconds=3 * BEAT_SECONDS)
"""A process whose row is older does not run any more, or is cut off from the database."""

FORGOTTEN_AFTER = timedelta(days=1)
"""How long the row of a process that ended without a word is kept: it says when the last one was seen."""


def beat(t: Transaction, role: str, name: str, *, version: str, started_at: datetime) -> None:
    """Say that a process runs. Its name is its own: host and process id."""
    if not _known(t):
        return
    row = {"role": role, "name": name, "version": version, "started_at": started_at, "seen_at": t.now}
    statement = insert_for(t)(processes).values(row)
    fresh = {column: statement.excluded[column] for column in ("version", "started_at", "seen_at")}
    t.execute(statement.on_conflict_do_update(index_elements=["role", "name"], set_=fresh))


def sign_off(t: Transaction, role: str, name: str) -> None:
    """Take a process off the list that ends as it should; one that is killed is missed after :data:`GONE_AFTER`."""
    if _known(t):
        t.execute(delete(processes).where(processes.c.role == role, processes.c.name == name))


def forget(t: Transaction) -> None:
    """Delete the rows of processes that were not seen for long."""
    if _known(t):
        t.execute(delete(processes).where(processes.c.seen_at < t.now - FORGOTTEN_AFTER))


def _known(t: Transaction) -> bool:
    """Whether the schema has the table."""
    return t.level >= 2  # noqa: PLR2004 - the schema with processes
