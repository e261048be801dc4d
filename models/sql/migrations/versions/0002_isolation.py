"""What one strange row, lock or clock does stays with it: quarantine, standstills, deltas, processes, row rules."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What models.types means, frozen: a migration must not change when the code does.
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
FORM = "____-__-__ __:__:__.______"
NEW_TABLES = ("redrive_deltas", "redrive_processes", "redrive_standstills", "redrive_quarantine")


def _rules() -> Sequence[Any]:
    """Those of models/migrations/row_rules_0002.py, which never changes either; this file belongs to no package."""
    return context.config.attributes["row_rules_0002"]  # type: ignore[no-any-return]


def _forms(sqlite: bool, table: str, *columns: str) -> list[sa.CheckConstraint]:
    if not sqlite:
        return []
    return [
        sa.CheckConstraint(f"{column} IS NULL OR {column} LIKE '{FORM}'", name=op.f(f"{table}_{column}_form_check"))
        for column in columns
    ]


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')" if sqlite else "clock_timestamp()")
    _tables(sqlite, now)
    op.add_column("redrive_accounts", sa.Column("limit_group", sa.String(64), server_default="", nullable=False))
    op.add_column("redrive_limits", sa.Column("blocked_seconds", sa.Float(), nullable=True))
    op.add_column("redrive_limits", sa.Column("suspects", JSON, nullable=True))
    # The oldest release's schema whose processes may go on working on this one.
    op.add_column("redrive_schema", sa.Column("works_from", sa.String(32), server_default="0001", nullable=False))
    if sqlite:
        for event in ("INSERT", "UPDATE"):
            op.execute(_trigger(event))
    else:
        # A handful of rows come and go; without this PostgreSQL would let the dead ones gather.
        for table in NEW_TABLES:
            op.execute(
                f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)"
            )
        for rule in _rules():
            # Rows that are there already are looked through afterwards, while work goes on.
            op.execute(f"ALTER TABLE redrive_tasks ADD CONSTRAINT {rule.name} CHECK ({rule.postgresql}) NOT VALID")


def _tables(sqlite: bool, now: sa.TextClause) -> None:
    op.create_table(
        "redrive_quarantine",
        sa.Column("task_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("since", MOMENT, server_default=now, nullable=False),
        sa.CheckConstraint(
            "cause IN ('row', 'kind', 'unknown', 'unreadable')", name=op.f("redrive_quarantine_cause_check")
        ),
        *_forms(sqlite, "redrive_quarantine", "since"),
        sa.PrimaryKeyConstraint("task_id", name=op.f("redrive_quarantine_pkey")),
    )
    op.create_index("redrive_quarantine_account_idx", "redrive_quarantine", ["account", "cause"])
    op.create_table(
        "redrive_standstills",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("operation", sa.String(8), nullable=False),
        sa.Column("since", MOMENT, server_default=now, nullable=False),
        sa.Column("until", MOMENT, server_default=now, nullable=False),
        sa.CheckConstraint("operation IN ('retry', 'check')", name=op.f("redrive_standstills_operation_check")),
        *_forms(sqlite, "redrive_standstills", "since", "until"),
        sa.PrimaryKeyConstraint("id", name=op.f("redrive_standstills_pkey")),
        sqlite_autoincrement=True,
    )
    op.create_index("redrive_standstills_account_idx", "redrive_standstills", ["account", "until"])
    op.create_table(
        "redrive_processes",
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("version", sa.String(64), server_default="", nullable=False),
        sa.Column("started_at", MOMENT, server_default=now, nullable=False),
        sa.Column("seen_at", MOMENT, server_default=now, nullable=False),
        *_forms(sqlite, "redrive_processes", "seen_at", "started_at"),
        sa.PrimaryKeyConstraint("role", "name", name=op.f("redrive_processes_pkey")),
    )
    op.create_table(
        "redrive_deltas",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("minute", MOMENT, server_default=now, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", BIG_ID, nullable=False),
        *_forms(sqlite, "redrive_deltas", "minute"),
        sa.PrimaryKeyConstraint("id", name=op.f("redrive_deltas_pkey")),
        sqlite_autoincrement=True,
    )


def _trigger(event: str) -> sa.TextClause:
    lines = "".join(
        f" SELECT RAISE(ABORT, 'CHECK constraint failed: {rule.name}') WHERE NOT ({rule.sqlite});" for rule in _rules()
    )
    # A colon in a text that SQLAlchemy reads would begin a parameter.
    body = f"CREATE TRIGGER redrive_tasks_sane_{event.lower()} BEFORE {event} ON redrive_tasks BEGIN{lines} END"
    return sa.text(body.replace(":", r"\:"))


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    if sqlite:
        for event in ("insert", "update"):
            op.execute(f"DROP TRIGGER redrive_tasks_sane_{event}")
    else:
        for rule in _rules():
            op.execute(f"ALTER TABLE redrive_tasks DROP CONSTRAINT {rule.name}")
    op.drop_column("redrive_schema", "works_from")
    op.drop_column("redrive_limits", "suspects")
    op.drop_column("redrive_limits", "blocked_seconds")
    op.drop_column("redrive_accounts", "limit_group")
    for table in NEW_TABLES:
        op.drop_table(table)
