"""Tables beside the tasks that schema 0001 does not have: what stands aside, what stood still, who is alive, deltas."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from ..states import Operation, SetAside
from .table_parts import SINCE_0002, SINCE_0003, metadata, moment, moments_in_form, one_of
from .types import BigId

quarantine = Table(
    "redrive_quarantine",
    metadata,
    # No foreign key: it would lock the task's row, which a host may hold.
    Column("task_id", BigId, primary_key=True, autoincrement=False),
    Column("account", String(64), nullable=False),
    Column("cause", String(16), nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    moment("since", now=True),
    CheckConstraint(one_of("cause", SetAside), name="cause"),
    *moments_in_form("since"),
    info=SINCE_0002,
)
"""Tasks that Redrive itself has set aside, each with the reason."""
Index("redrive_quarantine_account_idx", quarantine.c.account, quarantine.c.cause)

standstills = Table(
    "redrive_standstills",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("account", String(64), nullable=False),
    Column("operation", String(8), nullable=False),
    moment("since", now=True),
    moment("until", now=True),
    CheckConstraint(one_of("operation", Operation), name="operation"),
    *moments_in_form("since", "until"),
    sqlite_autoincrement=True,
    info=SINCE_0002,
)
"""Times in which an account had work that was due and nobody could call: no task grows older in them."""
Index("redrive_standstills_account_idx", standstills.c.account, standstills.c.until)

processes = Table(
    "redrive_processes",
    metadata,
    Column("role", String(16), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("version", String(64), nullable=False, server_default=""),
    moment("started_at", now=True),
    moment("seen_at", now=True),
    *moments_in_form("started_at", "seen_at"),
    info=SINCE_0002,
)
"""The processes of this installation, each with the moment at which it was last alive."""

deltas = Table(
    "redrive_deltas",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("account", String(64), nullable=False),
    moment("minute", now=True),
    Column("name", String(255), nullable=False),
    Column("value", BigId, nullable=False),
    # Of a step that a failure's counters or lessons are about; NULL is of no kind.
    Column("kind", String(64), info=SINCE_0003),
    Column("failure", String(64), info=SINCE_0003),
    # Which of the spent attempts a lesson is about.
    Column("number", Integer, info=SINCE_0003),
    *moments_in_form("minute"),
    sqlite_autoincrement=True,
    info=SINCE_0002,
)
"""How totals moved and were not folded into them yet: appended, so that no two transactions wait for one row."""
