"""What the ledger learns: failure codes, history, lessons, answers that nobody listed, and pauses that end."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# What models.types means, frozen: a migration must not change when the code does.
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
FORM = "____-__-__ __:__:__.______"
NEW_TABLES = (
    "redrive_answers",
    "redrive_failure_notes",
    "redrive_failure_hours",
    "redrive_failures",
    "redrive_history",
    "redrive_lessons",
)

REASONS = ("limit_reached", "not_found", "resource_gone", "refused", "undeliverable", "too_old", "expired", "stopped")
LONG_NAMES = ("redrive_deltas", "redrive_totals")


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')" if sqlite else "clock_timestamp()")
    _columns(sqlite)
    _history(sqlite)
    _failures(sqlite, now)
    _answers(sqlite, now)
    _reasons(sqlite, REASONS, (*REASONS, "ruled_out"))
    _names(sqlite, 64, 255)
    if sqlite:
        _indexes()
        _reread()
    else:
        # On PostgreSQL the indexes of the tasks are built while work goes on, once this has been committed.
        for table in NEW_TABLES:
            op.execute(
                f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000)"
            )
    for view, words in _views(sqlite).items():
        op.execute(f"CREATE VIEW {view} AS {words}")


def _columns(sqlite: bool) -> None:
    for table, column, type_ in (
        ("redrive_tasks", "failure", "VARCHAR(64)"),
        ("redrive_tasks", "traceparent", "VARCHAR(64)"),
        ("redrive_attempts", "cause", "VARCHAR(64)"),
        ("redrive_attempts", "bulk_id", "BIGINT"),
        ("redrive_actions", "bulk_id", "BIGINT"),
        ("redrive_accounts", "paused_until", "VARCHAR(26)" if sqlite else "TIMESTAMPTZ"),
        ("redrive_deltas", "kind", "VARCHAR(64)"),
        ("redrive_deltas", "failure", "VARCHAR(64)"),
        ("redrive_deltas", "number", "INTEGER"),
    ):
        rule = ""
        if sqlite and table == "redrive_tasks":
            short = f"typeof({column}) IN ('null', 'text') AND coalesce(length({column}), 0) <= 64"
            rule = f"\n CONSTRAINT redrive_tasks_{column}_form_check CHECK ({short})\n"  # a line each, for who reads it
        if sqlite and column == "paused_until":
            form = f"paused_until IS NULL OR paused_until LIKE '{FORM}'"
            rule = f" CONSTRAINT redrive_accounts_paused_until_form_check CHECK ({form})"
        name = "INTEGER" if sqlite and type_ == "BIGINT" else type_
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {name}{rule}")


def _forms(sqlite: bool, table: str, *columns: str) -> list[sa.CheckConstraint]:
    if not sqlite:
        return []
    return [
        sa.CheckConstraint(f"{column} IS NULL OR {column} LIKE '{FORM}'", name=op.f(f"{table}_{column}_form_check"))
        for column in columns
    ]


def _key(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(64), nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, BIG_ID, server_default=sa.text("0"), nullable=False) for name in names]


def _history(sqlite: bool) -> None:
    op.create_table(
        "redrive_history",
        *_key("account"),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("counts", JSON, nullable=False),
        sa.CheckConstraint("step IN (60, 3600, 86400)", name=op.f("redrive_history_step_check")),
        *_forms(sqlite, "redrive_history", "at"),
        sa.PrimaryKeyConstraint("account", "step", "at", name=op.f("redrive_history_pkey")),
    )


def _failures(sqlite: bool, now: sa.TextClause) -> None:
    key = ("account", "kind", "failure")
    op.create_table(
        "redrive_failures",
        *_key(*key),
        *_counts("failed", "followed", "held", "dead", "mended"),
        sa.Column("first_at", MOMENT, nullable=True),
        sa.Column("last_at", MOMENT, nullable=True),
        *_forms(sqlite, "redrive_failures", "first_at", "last_at"),
        sa.PrimaryKeyConstraint(*key, name=op.f("redrive_failures_pkey")),
    )
    op.create_table(
        "redrive_failure_hours",
        *_key(*key),
        sa.Column("at", MOMENT, nullable=False),
        *_counts("arrived", "mended", "dead"),
        *_forms(sqlite, "redrive_failure_hours", "at"),
        sa.PrimaryKeyConstraint(*key, "at", name=op.f("redrive_failure_hours_pkey")),
    )
    op.create_table(
        "redrive_lessons",
        *_key(*key),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", MOMENT, nullable=False),
        *_counts("mended", "failed_again", "gone", "unknown", "milliseconds"),
        *_forms(sqlite, "redrive_lessons", "day"),
        sa.PrimaryKeyConstraint(*key, "number", "day", name=op.f("redrive_lessons_pkey")),
    )
    op.create_table(
        "redrive_failure_notes",
        *_key("failure"),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("at", MOMENT, server_default=now, nullable=False),
        *_forms(sqlite, "redrive_failure_notes", "at"),
        sa.PrimaryKeyConstraint("failure", name=op.f("redrive_failure_notes_pkey")),
    )


def _answers(sqlite: bool, now: sa.TextClause) -> None:
    key = ("account", "operation", "path", "code")
    op.create_table(
        "redrive_answers",
        *_key("account"),
        sa.Column("operation", sa.String(8), nullable=False),
        sa.Column("path", sa.String(255), nullable=False),
        *_key("code"),
        sa.Column("taken_as", sa.String(32), nullable=False),
        *_counts("count"),
        sa.Column("samples", JSON, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("first_at", MOMENT, server_default=now, nullable=False),
        sa.Column("last_at", MOMENT, server_default=now, nullable=False),
        sa.CheckConstraint("operation IN ('retry', 'check')", name=op.f("redrive_answers_operation_check")),
        *_forms(sqlite, "redrive_answers", "first_at", "last_at"),
        sa.PrimaryKeyConstraint(*key, name=op.f("redrive_answers_pkey")),
    )


def _indexes() -> None:
    """The same as :mod:`redrive.models.sql.tables` says of the tasks."""
    op.create_index(
        "redrive_tasks_unclassified_idx",
        "redrive_tasks",
        ["id"],
        sqlite_where=sa.text("failure IS NULL AND status <> 'succeeded'"),
    )
    op.create_index(
        "redrive_tasks_failure_idx",
        "redrive_tasks",
        ["failure", "account", "id"],
        sqlite_where=sa.text("failure IS NOT NULL AND status IN ('failed', 'canceled', 'held', 'dead')"),
    )


def _words(reasons: Sequence[str]) -> str:
    quoted = ", ".join(f"'{reason}'" for reason in reasons)
    return f"dead_reason IN ({quoted})"


def _reasons(sqlite: bool, before: Sequence[str], after: Sequence[str]) -> None:
    """Rows that are there already kept the narrower rule, so that nobody needs to read them all under a lock."""
    if sqlite:
        _rewrite("redrive_tasks", _words(before), _words(after))
        return
    name = "redrive_tasks_dead_reason_check"
    op.execute(f"ALTER TABLE redrive_tasks DROP CONSTRAINT {name}")
    op.execute(f"ALTER TABLE redrive_tasks ADD CONSTRAINT {name} CHECK ({_words(after)}) NOT VALID")


def _names(sqlite: bool, before: int, after: int) -> None:
    """A name may hold a path."""
    for table in LONG_NAMES:
        if sqlite:
            _rewrite(table, f"name VARCHAR({before})", f"name VARCHAR({after})")
        else:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN name TYPE VARCHAR({after})")


def _rewrite(table: str, before: str, after: str) -> None:
    """The table's words on SQLite: the way its manual describes for changes that no stored row notices.

    Building the tasks anew would take their attempts with them.
    """
    op.execute("PRAGMA writable_schema = ON")
    changed = op.get_bind().execute(
        sa.text("UPDATE sqlite_master SET sql = replace(sql, :before, :after) WHERE type = 'table' AND name = :table"),
        {"before": before, "after": after, "table": table},
    )
    if changed.rowcount != 1:
        raise LookupError(f"no table {table}")
    op.execute("PRAGMA writable_schema = OFF")


def _reread() -> None:
    """Let every connection read the words again, this one at once."""
    bind = op.get_bind()
    version = bind.execute(sa.text("PRAGMA schema_version")).scalar_one()
    op.execute(f"PRAGMA schema_version = {version + 1}")
    op.execute("PRAGMA writable_schema = RESET")


TASKS_VIEW = """
    SELECT id, account, kind, external_id, sub_id, origin, status, dead_reason, failure, last_error, next, due_at,
        priority, attempts, spent, max_retries, failed_at, status_since, created_at, updated_at
    FROM redrive_tasks
"""
ATTEMPTS_VIEW = """
    SELECT t.account, t.kind, t.external_id, t.sub_id, a.task_id, a.number, a.cause, a.outcome, a.spent, a.opened_at,
        a.closed_at, {seconds} AS seconds, a.http_status, a.provider_code, a.message, a.result, a.settled_at
    FROM redrive_attempts a JOIN redrive_tasks t ON t.id = a.task_id
"""
FAILURES_VIEW = """
    SELECT f.account, f.kind, f.failure, f.failed, f.followed, f.held, f.dead, f.mended, f.first_at, f.last_at, n.note
    FROM redrive_failures f LEFT JOIN redrive_failure_notes n ON n.failure = f.failure
"""
HISTORY_VIEW = """
    SELECT h.account, h.step, h.at, e.key AS name, {value} AS value FROM redrive_history h, {each} e
"""


def _views(sqlite: bool) -> dict[str, str]:
    """For people who ask with SQL."""
    days = "(julianday(a.closed_at) - julianday(a.opened_at)) * 86400.0"
    seconds = days if sqlite else "extract(epoch FROM a.closed_at - a.opened_at)"
    each = "json_each(h.counts)" if sqlite else "jsonb_each_text(h.counts)"
    value = "e.value" if sqlite else "CAST(e.value AS bigint)"
    return {
        "redrive_v_tasks": TASKS_VIEW,
        "redrive_v_attempts": ATTEMPTS_VIEW.format(seconds=seconds),
        "redrive_v_failures": FAILURES_VIEW,
        "redrive_v_history": HISTORY_VIEW.format(value=value, each=each),
    }


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for view in _views(sqlite):
        op.execute(f"DROP VIEW {view}")
    for index in ("redrive_tasks_unclassified_idx", "redrive_tasks_failure_idx"):
        op.execute(f"DROP INDEX IF EXISTS {index}")
    _reasons(sqlite, (*REASONS, "ruled_out"), REASONS)
    _names(sqlite, 255, 64)
    for table, *names in (
        ("redrive_tasks", "failure", "traceparent"),
        ("redrive_attempts", "cause", "bulk_id"),
        ("redrive_actions", "bulk_id"),
        ("redrive_accounts", "paused_until"),
        ("redrive_deltas", "kind", "failure", "number"),
    ):
        for name in names:
            op.drop_column(table, name)
    for table in NEW_TABLES:
        op.drop_table(table)
    if sqlite:
        _reread()
