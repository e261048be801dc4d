"""Tables of what the ledger has learned: how often, since when, why, and whether a retry helped."""

from sqlalchemy import CheckConstraint, Column, Integer, String, Table, Text, text

from ..states import Operation
from .table_parts import SINCE_0003, metadata, moment, moments_in_form, one_of
from .types import BigId, Json

history = Table(
    "redrive_history",
    metadata,
    Column("account", String(64), primary_key=True),
    # Seconds: a minute, an hour or a day.
    Column("step", Integer, primary_key=True, autoincrement=False),
    moment("at", primary_key=True),
    Column("counts", Json, nullable=False),
    CheckConstraint("step IN (60, 3600, 86400)", name="step"),
    *moments_in_form("at"),
    info=SINCE_0003,
)
"""What happened to an account in a stretch of time, by name. One row per stretch: a row per name would be twelve times
as many. There is no row for a stretch in which nothing happened."""

failures = Table(
    "redrive_failures",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("kind", String(64), primary_key=True),
    Column("failure", String(64), primary_key=True),
    Column("failed", BigId, nullable=False, server_default=text("0")),
    Column("followed", BigId, nullable=False, server_default=text("0")),
    Column("held", BigId, nullable=False, server_default=text("0")),
    Column("dead", BigId, nullable=False, server_default=text("0")),
    Column("mended", BigId, nullable=False, server_default=text("0")),
    moment("first_at"),
    moment("last_at"),
    *moments_in_form("first_at", "last_at"),
    info=SINCE_0003,
)
"""How many tasks stand where, by why their work failed: tasks that failed or are being called, those whose retry is
followed, and so on. Kept by steps, as totals are, so that nobody ever counts the tasks."""

failure_hours = Table(
    "redrive_failure_hours",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("kind", String(64), primary_key=True),
    Column("failure", String(64), primary_key=True),
    moment("at", primary_key=True),
    Column("arrived", BigId, nullable=False, server_default=text("0")),
    Column("mended", BigId, nullable=False, server_default=text("0")),
    Column("dead", BigId, nullable=False, server_default=text("0")),
    *moments_in_form("at"),
    info=SINCE_0003,
)
"""The same by hour: how many tasks came to fail so, and how many of them ended."""

lessons = Table(
    "redrive_lessons",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("kind", String(64), primary_key=True),
    Column("failure", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    moment("day", primary_key=True),
    Column("mended", BigId, nullable=False, server_default=text("0")),
    Column("failed_again", BigId, nullable=False, server_default=text("0")),
    Column("gone", BigId, nullable=False, server_default=text("0")),
    Column("unknown", BigId, nullable=False, server_default=text("0")),
    Column("milliseconds", BigId, nullable=False, server_default=text("0")),
    *moments_in_form("day"),
    info=SINCE_0003,
)
"""What retries came to: of an account's tasks of a kind that had failed so, of the n-th spent attempt, by day."""

failure_notes = Table(
    "redrive_failure_notes",
    metadata,
    Column("failure", String(64), primary_key=True),
    Column("note", Text, nullable=False),
    Column("who", String(255), nullable=False),
    moment("at", now=True),
    *moments_in_form("at"),
    info=SINCE_0003,
)
"""What people know about a failure."""

answers = Table(
    "redrive_answers",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("operation", String(8), primary_key=True),
    Column("path", String(255), primary_key=True),
    # A code, a status word or a shape that the provider's table does not list.
    Column("code", String(64), primary_key=True),
    Column("taken_as", String(32), nullable=False),
    Column("count", BigId, nullable=False, server_default=text("0")),
    Column("samples", Json, nullable=False, server_default=text("'[]'")),
    moment("first_at", now=True),
    moment("last_at", now=True),
    CheckConstraint(one_of("operation", Operation), name="operation"),
    *moments_in_form("first_at", "last_at"),
    info=SINCE_0003,
)
"""Answers that no table of the provider lists, with up to three scrubbed samples each."""
