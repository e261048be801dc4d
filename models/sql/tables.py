"""The schema as SQLAlchemy tables. ``models/sql/migrations`` builds it; a test holds the two together.

Constraints refuse rows that cannot be, so that a bug shows in the first test and not in month three.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.sql.elements import ColumnElement, conv

from ..outcome import OUTCOMES
from ..states import BatchStatus, DeadReason, Operation, Status, Wish
from .insight_tables import answers, failure_hours, failure_notes, failures, history, lessons
from .migrations.row_rules_0002 import RULES
from .side_tables import deltas, processes, quarantine, standstills
from .table_parts import (
    SINCE_0002,
    SINCE_0003,
    columns,
    is_there,
    metadata,
    moment,
    moment_now,
    moments_in_form,
    one_of,
    short_texts,
)
from .types import BigId, Json, Moment

RETRY_DUE = "next = 'retry' AND status IN ('failed', 'canceled') AND due_at IS NOT NULL"
CHECK_DUE = (
    "next = 'check' AND status IN ('failed', 'canceled', 'retrying', 'unknown', 'pending', 'running') "
    "AND due_at IS NOT NULL"
)
ENDED = "status IN ('succeeded', 'dead')"
RESTING = "status IN ('pending', 'running', 'held') OR (status = 'canceled' AND due_at IS NULL)"
UNCLASSIFIED = "failure IS NULL AND status <> 'succeeded'"
CLASSIFIED = "failure IS NOT NULL AND status IN ('failed', 'canceled', 'held', 'dead')"
"""The predicates of the partial indexes. Queries repeat them as literals: bound values would hide the index."""

tasks = Table(
    "redrive_tasks",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("account", String(64), nullable=False),
    Column("kind", String(64), nullable=False, server_default=""),
    Column("external_id", String(255), nullable=False),
    Column("sub_id", String(255), nullable=False, server_default=""),
    Column("params", Json, nullable=False, server_default=text("'{}'")),
    Column("origin", String(64), nullable=False, server_default=""),
    Column("status", String(16), nullable=False, server_default=Status.FAILED.value),
    Column("dead_reason", String(16)),
    Column("next", String(8), nullable=False, server_default=Operation.RETRY.value),
    # Nullable, yet a bare INSERT is due at once.
    Column("due_at", Moment, server_default=moment_now()),
    Column("priority", SmallInteger, nullable=False, server_default=text("0")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("spent", Integer, nullable=False, server_default=text("0")),
    Column("errors", Integer, nullable=False, server_default=text("0")),
    Column("refusals", Integer, nullable=False, server_default=text("0")),
    Column("max_retries", Integer),
    Column("granted", Integer, nullable=False, server_default=text("0")),
    Column("batch_id", Uuid),
    Column("wish", String(8)),
    Column("held_from", String(16)),
    Column("trigger", String(8), nullable=False, server_default="due"),
    Column("provider_ref", String(255), nullable=False, server_default=""),
    Column("seen", Json),
    Column("last_error", Text, nullable=False, server_default=""),
    # Why the work failed, as a short code. NULL: nobody has classified it yet.
    Column("failure", String(64), info=SINCE_0003),
    # The trace that the host's request belongs to, in the form of the header of that name.
    Column("traceparent", String(64), info=SINCE_0003),
    moment("failed_at"),
    moment("status_since", now=True),
    moment("round_at", now=True),
    moment("created_at", now=True),
    moment("updated_at", now=True),
    UniqueConstraint("account", "kind", "external_id", "sub_id", name="redrive_tasks_identity_key"),
    CheckConstraint("length(external_id) BETWEEN 1 AND 255", name="external_id"),
    CheckConstraint(one_of("status", Status), name="status"),
    CheckConstraint(one_of("dead_reason", DeadReason), name="dead_reason"),
    CheckConstraint("(status = 'dead') = (dead_reason IS NOT NULL)", name="dead_has_reason"),
    CheckConstraint(one_of("next", Operation), name="next"),
    CheckConstraint("priority BETWEEN -1 AND 1", name="priority"),
    CheckConstraint("spent >= 0 AND spent <= attempts", name="spent"),
    CheckConstraint("errors >= 0 AND refusals >= 0 AND granted >= 0", name="counters"),
    CheckConstraint("max_retries >= 0", name="max_retries"),
    CheckConstraint("(status = 'in_flight') = (batch_id IS NOT NULL)", name="in_flight_has_batch"),
    # Where a held or claimed task goes back to.
    CheckConstraint("(status IN ('held', 'in_flight')) = (held_from IS NOT NULL)", name="held_has_from"),
    CheckConstraint(
        one_of("held_from", (Status.PENDING, Status.RUNNING, Status.FAILED, Status.CANCELED)), name="held_from"
    ),
    CheckConstraint(one_of("wish", Wish), name="wish"),
    CheckConstraint("wish IS NULL OR status IN ('in_flight', 'retrying', 'unknown')", name="wish_is_open"),
    CheckConstraint(one_of("trigger", ("due", "manual", "forced")), name="trigger"),
    # Every unfinished task has a moment at which it is due, a batch, or an operator's hold. A canceled one
    # may rest where the policy does not retry what was canceled.
    CheckConstraint("status <> 'failed' OR due_at IS NOT NULL", name="failed_is_due"),
    CheckConstraint(
        "status NOT IN ('retrying', 'unknown') OR (next = 'check' AND due_at IS NOT NULL)", name="followed_is_due"
    ),
    CheckConstraint(
        "status NOT IN ('in_flight', 'held', 'succeeded', 'dead') OR due_at IS NULL", name="resting_is_not_due"
    ),
    *moments_in_form("due_at", "failed_at", "status_since", "round_at", "created_at", "updated_at"),
    *short_texts("failure", "traceparent"),
    # On SQLite each of these is a line of a trigger.
    *(CheckConstraint(rule.postgresql, name=conv(rule.name)).ddl_if(dialect="postgresql") for rule in RULES),
    sqlite_autoincrement=True,
)

attempts = Table(
    "redrive_attempts",
    metadata,
    Column("task_id", BigId, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("batch_id", Uuid, nullable=False),
    Column("trigger", String(8), nullable=False),
    Column("outcome", String(16)),
    Column("spent", Boolean, nullable=False, server_default=text("false")),
    moment("opened_at"),
    moment("closed_at"),
    Column("http_status", SmallInteger),
    Column("provider_code", String(64), nullable=False, server_default=""),
    Column("message", Text, nullable=False, server_default=""),
    Column("provider_ref", String(255), nullable=False, server_default=""),
    Column("result", Text, nullable=False, server_default=""),
    moment("settled_at"),
    # The failure that this attempt answers, and the bulk action that asked for it.
    Column("cause", String(64), info=SINCE_0003),
    Column("bulk_id", BigId, info=SINCE_0003),
    ForeignKeyConstraint(["task_id"], ["redrive_tasks.id"], ondelete="CASCADE"),
    CheckConstraint("number >= 1", name="number"),
    CheckConstraint("opened_at IS NOT NULL", name="opened"),
    CheckConstraint("(outcome IS NULL) = (closed_at IS NULL)", name="closed_has_outcome"),
    CheckConstraint(one_of("outcome", [outcome.name for outcome in OUTCOMES]), name="outcome"),
    # Only what the provider took, or may have taken, counts against the limit.
    CheckConstraint("outcome IS NULL OR spent = (outcome IN ('accepted', 'unknown'))", name="spent"),
    *moments_in_form("opened_at", "closed_at", "settled_at"),
)
Index(
    "redrive_attempts_open_key",
    attempts.c.task_id,
    unique=True,
    postgresql_where=text("closed_at IS NULL"),
    sqlite_where=text("closed_at IS NULL"),
)

batches = Table(
    "redrive_batches",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account", String(64), nullable=False),
    Column("provider", String(64), nullable=False),
    Column("operation", String(8), nullable=False),
    Column("task_ids", Json, nullable=False),
    Column("size", Integer, nullable=False),
    Column("probe", Boolean, nullable=False, server_default=text("false")),
    Column("status", String(8), nullable=False, server_default=BatchStatus.QUEUED.value),
    moment("publish_at"),
    Column("publishes", Integer, nullable=False, server_default=text("0")),
    moment("lease_until"),
    Column("worker", String(255), nullable=False, server_default=""),
    moment("created_at", now=True),
    moment("begun_at"),
    moment("ended_at"),
    Column("counts", Json, nullable=False, server_default=text("'{}'")),
    CheckConstraint(one_of("operation", Operation), name="operation"),
    CheckConstraint(one_of("status", BatchStatus), name="status"),
    CheckConstraint("size >= 1", name="size"),
    CheckConstraint("(status = 'queued') = (begun_at IS NULL)", name="begun"),
    CheckConstraint("status <> 'queued' OR publish_at IS NOT NULL", name="queued_is_published"),
    CheckConstraint("status <> 'sending' OR lease_until IS NOT NULL", name="sending_has_lease"),
    CheckConstraint("(status IN ('done', 'lost')) = (ended_at IS NOT NULL)", name="ended"),
    *moments_in_form("publish_at", "lease_until", "created_at", "begun_at", "ended_at"),
)

accounts = Table(
    "redrive_accounts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("provider", String(64), nullable=False),
    moment("paused_at"),
    Column("paused_cause", String(16)),
    Column("paused_reason", Text, nullable=False, server_default=""),
    Column("paused_by", String(255), nullable=False, server_default=""),
    moment("resumed_at"),
    moment("probe_at"),
    Column("refusals", Integer, nullable=False, server_default=text("0")),
    Column("forbidden", Integer, nullable=False, server_default=text("0")),
    moment("created_at", now=True),
    # When a pause that a person made ends by itself.
    moment("paused_until", info=SINCE_0003),
    # The limit group it had last, so that another group takes its pace and penalties over.
    Column("limit_group", String(64), nullable=False, server_default="", info=SINCE_0002),
    CheckConstraint("(paused_at IS NULL) = (paused_cause IS NULL)", name="paused_has_cause"),
    # A comparison with NULL is neither true nor false, and a check takes both for fine.
    CheckConstraint(
        "probe_at IS NULL OR (paused_cause IS NOT NULL AND paused_cause = 'balance')", name="probe_is_for_balance"
    ),
    *moments_in_form("paused_at", "resumed_at", "probe_at", "created_at", "paused_until"),
)

limits = Table(
    "redrive_limits",
    metadata,
    Column("group", String(64), primary_key=True),
    Column("path", String(255), primary_key=True),
    moment("next_at"),
    moment("blocked_until"),
    Column("why", Text, nullable=False, server_default=""),
    Column("throttles", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("opens", Integer, nullable=False, server_default=text("0")),
    moment("open_until"),
    Column("probe", Uuid),
    # How long the penalty was when it was given: a moment further ahead is the work of a clock that went back.
    Column("blocked_seconds", Float, info=SINCE_0002),
    # The tasks whose answers the breaker counted: none of them is chosen as its probe.
    Column("suspects", Json, info=SINCE_0002),
    *moments_in_form("next_at", "blocked_until", "open_until"),
)

totals = Table(
    "redrive_totals",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("value", BigId, nullable=False, server_default=text("0")),
)

actions = Table(
    "redrive_actions",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    moment("at", now=True),
    Column("who", String(255), nullable=False),
    Column("what", String(32), nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("account", String(64), nullable=False),
    Column("task_id", BigId),
    Column("detail", Text, nullable=False, server_default=""),
    Column("bulk_id", BigId, info=SINCE_0003),
    *moments_in_form("at"),
    sqlite_autoincrement=True,
)
Index("redrive_actions_task_idx", actions.c.task_id, actions.c.id)

archives = Table(
    "redrive_archives",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("task_id", BigId, nullable=False),
    Column("number", Integer, nullable=False),
    moment("saved_at", now=True),
    Column("result", Json, nullable=False),
    ForeignKeyConstraint(["task_id"], ["redrive_tasks.id"], ondelete="CASCADE"),
    UniqueConstraint("task_id", "number", name="redrive_archives_number_key"),
    *moments_in_form("saved_at"),
    sqlite_autoincrement=True,
)


def _partial(name: str, where: str, *columns: ColumnElement[object]) -> Index:
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))


_partial("redrive_tasks_retry_due_idx", RETRY_DUE, tasks.c.account, tasks.c.priority.desc(), tasks.c.due_at)
_partial("redrive_tasks_check_due_idx", CHECK_DUE, tasks.c.account, tasks.c.due_at)
# By age and not by id: pruning must find the old ones among ten million without reading the young.
_partial("redrive_tasks_ended_idx", ENDED, tasks.c.status, tasks.c.account, tasks.c.status_since)
# For counting what waits for somebody's word, not for a moment, without reading the table.
_partial("redrive_tasks_resting_idx", RESTING, tasks.c.account, tasks.c.status)
_partial("redrive_tasks_unclassified_idx", UNCLASSIFIED, tasks.c.id)
# Only of tasks at rest: a retry that succeeds leaves it once and does not come back.
_partial("redrive_tasks_failure_idx", CLASSIFIED, tasks.c.failure, tasks.c.account, tasks.c.id)
_partial("redrive_batches_queued_idx", "status = 'queued'", batches.c.publish_at)
_partial("redrive_batches_sending_idx", "status = 'sending'", batches.c.lease_until)
_partial("redrive_batches_open_idx", "status IN ('queued', 'sending')", batches.c.account, batches.c.operation)
_partial("redrive_batches_ended_idx", "status IN ('done', 'lost')", batches.c.ended_at)

__all__ = [
    "CHECK_DUE",
    "CLASSIFIED",
    "ENDED",
    "RESTING",
    "RETRY_DUE",
    "UNCLASSIFIED",
    "accounts",
    "actions",
    "answers",
    "archives",
    "attempts",
    "batches",
    "columns",
    "deltas",
    "failure_hours",
    "failure_notes",
    "failures",
    "history",
    "is_there",
    "lessons",
    "limits",
    "metadata",
    "moment_now",
    "processes",
    "quarantine",
    "standstills",
    "tasks",
    "totals",
]
