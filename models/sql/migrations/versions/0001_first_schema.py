"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# What models.types means, frozen: a migration must not change when the code does.
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
RETRY_DUE = sa.text("next = 'retry' AND status IN ('failed', 'canceled') AND due_at IS NOT NULL")
CHECK_DUE = sa.text(
    "next = 'check' AND status IN ('failed', 'canceled', 'retrying', 'unknown', 'pending', 'running') "
    "AND due_at IS NOT NULL"
)
RESTING = sa.text("status IN ('pending', 'running', 'held') OR (status = 'canceled' AND due_at IS NULL)")
FORM = "____-__-__ __:__:__.______"

# A retry rewrites its task three times and its attempt once, whatever the size of the table: PostgreSQL's default, a
# fifth of all rows, would let two million dead ones gather in a table of ten. Room in each page keeps a new version
# beside the old one. The small tables are a handful of rows that every batch rewrites.
_LARGE = "fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000"
_SMALL = "fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000"
STORAGE = {
    "redrive_tasks": f"{_LARGE}, autovacuum_analyze_scale_factor = 0.02",
    "redrive_attempts": _LARGE,
    "redrive_batches": "fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000",
    "redrive_accounts": _SMALL,
    "redrive_limits": _SMALL,
    "redrive_totals": _SMALL,
}


def _forms(sqlite: bool, table: str, *columns: str) -> list[sa.CheckConstraint]:
    """On SQLite a moment is text, which must have the one form that sorts."""
    if not sqlite:
        return []
    return [
        sa.CheckConstraint(f"{column} IS NULL OR {column} LIKE '{FORM}'", name=op.f(f"{table}_{column}_form_check"))
        for column in columns
    ]


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')" if sqlite else "clock_timestamp()")
    op.create_table(
        "redrive_accounts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("paused_at", MOMENT, nullable=True),
        sa.Column("paused_cause", sa.String(length=16), nullable=True),
        sa.Column("paused_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("paused_by", sa.String(length=255), server_default="", nullable=False),
        sa.Column("resumed_at", MOMENT, nullable=True),
        sa.Column("probe_at", MOMENT, nullable=True),
        sa.Column("refusals", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("forbidden", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=now, nullable=False),
        sa.CheckConstraint(
            "probe_at IS NULL OR (paused_cause IS NOT NULL AND paused_cause = 'balance')",
            name=op.f("redrive_accounts_probe_is_for_balance_check"),
        ),
        sa.CheckConstraint(
            "(paused_at IS NULL) = (paused_cause IS NULL)", name=op.f("redrive_accounts_paused_has_cause_check")
        ),
        *_forms(sqlite, "redrive_accounts", "created_at", "paused_at", "probe_at", "resumed_at"),
        sa.PrimaryKeyConstraint("name", name=op.f("redrive_accounts_pkey")),
    )
    op.create_table(
        "redrive_actions",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("at", MOMENT, server_default=now, nullable=False),
        sa.Column("who", sa.String(length=255), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("task_id", BIG_ID, nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        *_forms(sqlite, "redrive_actions", "at"),
        sa.PrimaryKeyConstraint("id", name=op.f("redrive_actions_pkey")),
        sqlite_autoincrement=True,
    )
    op.create_index("redrive_actions_task_idx", "redrive_actions", ["task_id", "id"], unique=False)
    op.create_table(
        "redrive_batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("operation", sa.String(length=8), nullable=False),
        sa.Column("task_ids", JSON, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("probe", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.String(length=8), server_default="queued", nullable=False),
        sa.Column("publish_at", MOMENT, nullable=True),
        sa.Column("publishes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("worker", sa.String(length=255), server_default="", nullable=False),
        sa.Column("created_at", MOMENT, server_default=now, nullable=False),
        sa.Column("begun_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("counts", JSON, server_default=sa.text("'{}'"), nullable=False),
        sa.CheckConstraint("(status = 'queued') = (begun_at IS NULL)", name=op.f("redrive_batches_begun_check")),
        sa.CheckConstraint(
            "(status IN ('done', 'lost')) = (ended_at IS NOT NULL)", name=op.f("redrive_batches_ended_check")
        ),
        sa.CheckConstraint("operation IN ('retry', 'check')", name=op.f("redrive_batches_operation_check")),
        sa.CheckConstraint(
            "status <> 'queued' OR publish_at IS NOT NULL", name=op.f("redrive_batches_queued_is_published_check")
        ),
        sa.CheckConstraint(
            "status <> 'sending' OR lease_until IS NOT NULL", name=op.f("redrive_batches_sending_has_lease_check")
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'sending', 'done', 'lost')", name=op.f("redrive_batches_status_check")
        ),
        sa.CheckConstraint("size >= 1", name=op.f("redrive_batches_size_check")),
        *_forms(sqlite, "redrive_batches", "begun_at", "created_at", "ended_at", "lease_until", "publish_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("redrive_batches_pkey")),
    )
    op.create_index(
        "redrive_batches_ended_idx",
        "redrive_batches",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('done', 'lost')"),
        sqlite_where=sa.text("status IN ('done', 'lost')"),
    )
    op.create_index(
        "redrive_batches_open_idx",
        "redrive_batches",
        ["account", "operation"],
        unique=False,
        postgresql_where=sa.text("status IN ('queued', 'sending')"),
        sqlite_where=sa.text("status IN ('queued', 'sending')"),
    )
    op.create_index(
        "redrive_batches_queued_idx",
        "redrive_batches",
        ["publish_at"],
        unique=False,
        postgresql_where=sa.text("status = 'queued'"),
        sqlite_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "redrive_batches_sending_idx",
        "redrive_batches",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("status = 'sending'"),
        sqlite_where=sa.text("status = 'sending'"),
    )
    op.create_table(
        "redrive_limits",
        sa.Column("group", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.Column("next_at", MOMENT, nullable=True),
        sa.Column("blocked_until", MOMENT, nullable=True),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("throttles", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("opens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("open_until", MOMENT, nullable=True),
        sa.Column("probe", sa.Uuid(), nullable=True),
        *_forms(sqlite, "redrive_limits", "blocked_until", "next_at", "open_until"),
        sa.PrimaryKeyConstraint("group", "path", name=op.f("redrive_limits_pkey")),
    )
    op.create_table(
        "redrive_tasks",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), server_default="", nullable=False),
        sa.Column("external_id", sa.String(length=255), nullable=False),
        sa.Column("sub_id", sa.String(length=255), server_default="", nullable=False),
        sa.Column("params", JSON, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("origin", sa.String(length=64), server_default="", nullable=False),
        sa.Column("status", sa.String(length=16), server_default="failed", nullable=False),
        sa.Column("dead_reason", sa.String(length=16), nullable=True),
        sa.Column("next", sa.String(length=8), server_default="retry", nullable=False),
        sa.Column("due_at", MOMENT, server_default=now, nullable=True),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("spent", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("errors", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refusals", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=True),
        sa.Column("granted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("wish", sa.String(length=8), nullable=True),
        sa.Column("held_from", sa.String(length=16), nullable=True),
        sa.Column("trigger", sa.String(length=8), server_default="due", nullable=False),
        sa.Column("provider_ref", sa.String(length=255), server_default="", nullable=False),
        sa.Column("seen", JSON, nullable=True),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("failed_at", MOMENT, nullable=True),
        sa.Column("status_since", MOMENT, server_default=now, nullable=False),
        sa.Column("round_at", MOMENT, server_default=now, nullable=False),
        sa.Column("created_at", MOMENT, server_default=now, nullable=False),
        sa.Column("updated_at", MOMENT, server_default=now, nullable=False),
        sa.CheckConstraint(
            "(status = 'dead') = (dead_reason IS NOT NULL)", name=op.f("redrive_tasks_dead_has_reason_check")
        ),
        sa.CheckConstraint(
            "(status = 'in_flight') = (batch_id IS NOT NULL)", name=op.f("redrive_tasks_in_flight_has_batch_check")
        ),
        sa.CheckConstraint(
            "(status IN ('held', 'in_flight')) = (held_from IS NOT NULL)",
            name=op.f("redrive_tasks_held_has_from_check"),
        ),
        sa.CheckConstraint(
            "dead_reason IN ('limit_reached', 'not_found', 'resource_gone', "
            "'refused', 'undeliverable', 'too_old', 'expired', 'stopped')",
            name=op.f("redrive_tasks_dead_reason_check"),
        ),
        sa.CheckConstraint(
            "held_from IN ('pending', 'running', 'failed', 'canceled')", name=op.f("redrive_tasks_held_from_check")
        ),
        sa.CheckConstraint("next IN ('retry', 'check')", name=op.f("redrive_tasks_next_check")),
        sa.CheckConstraint("status <> 'failed' OR due_at IS NOT NULL", name=op.f("redrive_tasks_failed_is_due_check")),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'failed', 'canceled', 'in_flight', "
            "'retrying', 'unknown', 'held', 'succeeded', 'dead')",
            name=op.f("redrive_tasks_status_check"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('in_flight', 'held', 'succeeded', 'dead') OR due_at IS NULL",
            name=op.f("redrive_tasks_resting_is_not_due_check"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('retrying', 'unknown') OR (next = 'check' AND due_at IS NOT NULL)",
            name=op.f("redrive_tasks_followed_is_due_check"),
        ),
        sa.CheckConstraint("trigger IN ('due', 'manual', 'forced')", name=op.f("redrive_tasks_trigger_check")),
        sa.CheckConstraint("wish IN ('hold', 'stop')", name=op.f("redrive_tasks_wish_check")),
        sa.CheckConstraint(
            "wish IS NULL OR status IN ('in_flight', 'retrying', 'unknown')",
            name=op.f("redrive_tasks_wish_is_open_check"),
        ),
        sa.CheckConstraint("errors >= 0 AND refusals >= 0 AND granted >= 0", name=op.f("redrive_tasks_counters_check")),
        sa.CheckConstraint("length(external_id) BETWEEN 1 AND 255", name=op.f("redrive_tasks_external_id_check")),
        sa.CheckConstraint("max_retries >= 0", name=op.f("redrive_tasks_max_retries_check")),
        sa.CheckConstraint("priority BETWEEN -1 AND 1", name=op.f("redrive_tasks_priority_check")),
        sa.CheckConstraint("spent >= 0 AND spent <= attempts", name=op.f("redrive_tasks_spent_check")),
        *_forms(sqlite, "redrive_tasks", "created_at", "due_at", "failed_at", "round_at", "status_since", "updated_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("redrive_tasks_pkey")),
        sa.UniqueConstraint("account", "kind", "external_id", "sub_id", name="redrive_tasks_identity_key"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "redrive_tasks_check_due_idx",
        "redrive_tasks",
        ["account", "due_at"],
        unique=False,
        postgresql_where=CHECK_DUE,
        sqlite_where=CHECK_DUE,
    )
    op.create_index(
        "redrive_tasks_ended_idx",
        "redrive_tasks",
        ["status", "account", "status_since"],
        unique=False,
        postgresql_where=sa.text("status IN ('succeeded', 'dead')"),
        sqlite_where=sa.text("status IN ('succeeded', 'dead')"),
    )
    op.create_index(
        "redrive_tasks_resting_idx",
        "redrive_tasks",
        ["account", "status"],
        unique=False,
        postgresql_where=RESTING,
        sqlite_where=RESTING,
    )
    op.create_index(
        "redrive_tasks_retry_due_idx",
        "redrive_tasks",
        ["account", sa.literal_column("priority DESC"), "due_at"],
        unique=False,
        postgresql_where=RETRY_DUE,
        sqlite_where=RETRY_DUE,
    )
    op.create_table(
        "redrive_totals",
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", BIG_ID, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("account", "name", name=op.f("redrive_totals_pkey")),
    )
    op.create_table(
        "redrive_archives",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("task_id", BIG_ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("saved_at", MOMENT, server_default=now, nullable=False),
        sa.Column("result", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["redrive_tasks.id"], name=op.f("redrive_archives_task_id_fkey"), ondelete="CASCADE"
        ),
        *_forms(sqlite, "redrive_archives", "saved_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("redrive_archives_pkey")),
        sa.UniqueConstraint("task_id", "number", name="redrive_archives_number_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "redrive_attempts",
        sa.Column("task_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("trigger", sa.String(length=8), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("spent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("opened_at", MOMENT, nullable=True),
        sa.Column("closed_at", MOMENT, nullable=True),
        sa.Column("http_status", sa.SmallInteger(), nullable=True),
        sa.Column("provider_code", sa.String(length=64), server_default="", nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("provider_ref", sa.String(length=255), server_default="", nullable=False),
        sa.Column("result", sa.Text(), server_default="", nullable=False),
        sa.Column("settled_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "outcome IN ('accepted', 'already', 'refused', 'deferred', 'throttled', 'blocked', 'unknown', 'unsent')",
            name=op.f("redrive_attempts_outcome_check"),
        ),
        sa.CheckConstraint(
            "outcome IS NULL OR spent = (outcome IN ('accepted', 'unknown'))", name=op.f("redrive_attempts_spent_check")
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (closed_at IS NULL)", name=op.f("redrive_attempts_closed_has_outcome_check")
        ),
        sa.CheckConstraint("number >= 1", name=op.f("redrive_attempts_number_check")),
        sa.CheckConstraint("opened_at IS NOT NULL", name=op.f("redrive_attempts_opened_check")),
        sa.ForeignKeyConstraint(
            ["task_id"], ["redrive_tasks.id"], name=op.f("redrive_attempts_task_id_fkey"), ondelete="CASCADE"
        ),
        *_forms(sqlite, "redrive_attempts", "closed_at", "opened_at", "settled_at"),
        sa.PrimaryKeyConstraint("task_id", "number", name=op.f("redrive_attempts_pkey")),
    )
    op.create_index(
        "redrive_attempts_open_key",
        "redrive_attempts",
        ["task_id"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
        sqlite_where=sa.text("closed_at IS NULL"),
    )
    if not sqlite:
        for table, options in STORAGE.items():
            op.execute(f"ALTER TABLE {table} SET ({options})")


def downgrade() -> None:
    op.drop_index("redrive_attempts_open_key", table_name="redrive_attempts")
    op.drop_table("redrive_attempts")
    op.drop_table("redrive_archives")
    op.drop_table("redrive_totals")
    op.drop_index("redrive_tasks_resting_idx", table_name="redrive_tasks")
    op.drop_index("redrive_tasks_retry_due_idx", table_name="redrive_tasks")
    op.drop_index("redrive_tasks_ended_idx", table_name="redrive_tasks")
    op.drop_index("redrive_tasks_check_due_idx", table_name="redrive_tasks")
    op.drop_table("redrive_tasks")
    op.drop_table("redrive_limits")
    op.drop_index("redrive_batches_sending_idx", table_name="redrive_batches")
    op.drop_index("redrive_batches_queued_idx", table_name="redrive_batches")
    op.drop_index("redrive_batches_open_idx", table_name="redrive_batches")
    op.drop_index("redrive_batches_ended_idx", table_name="redrive_batches")
    op.drop_table("redrive_batches")
    op.drop_index("redrive_actions_task_idx", table_name="redrive_actions")
    op.drop_table("redrive_actions")
    op.drop_table("redrive_accounts")
