"""The state of everything: what waits, what is under way, what is in its way, and how much has been done.

What is unfinished is counted over the partial indexes; what ended was counted when it ended.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, func, select, text, true

from ..ledger import breaker_path, not_set_aside, totals_now, troubles
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.one_of import one_of
from ..sql.tables import CHECK_DUE, RESTING, RETRY_DUE, accounts, batches, columns, limits, tasks
from ..states import AT_WORK_STATES, Operation, Status
from .processes import Missing, Process, missing, processes
from .set_aside import TaskSetAside, tasks_set_aside

UNBEGUN_AFTER = timedelta(seconds=30)
"""A batch that no worker has begun for so long is worth a word: is there a worker for its queue?"""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why an account rests, since when, and when one task tries whether it still must."""

    at: datetime
    cause: str
    reason: str
    by: str
    probe_at: datetime | None


@dataclass(frozen=True, slots=True)
class BreakerState:
    """An operation of an account that is left alone after calls without a usable answer."""

    operation: Operation
    open_until: datetime
    failures: int
    why: str
    probing: bool


@dataclass(frozen=True, slots=True)
class Penalty:
    """An API path of a limit group (``""``: all its paths) on which no call leaves before a moment."""

    group: str
    path: str
    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class BatchState:
    """A batch that has not ended."""

    id: UUID
    account: str
    provider: str
    operation: Operation
    status: str
    size: int
    created_at: datetime
    publishes: int
    worker: str
    lease_until: datetime | None
    unbegun: bool


@dataclass(slots=True)
class AccountOverview:
    """One account.

    Attributes:
        provider: None where neither settings nor rows know one.
        recorded_provider: whose its tasks are; None: no scheduler has run since it was configured.
        configured: whether the settings name it; tasks of others are kept, never claimed. None: the settings of the
            service are not here, so nobody can say.
        clearing_seconds: how long the calls for the retries that are due take at least, at the account's pace.
        tasks: status → how many tasks; only what is not zero.
        dead: reason → how many tasks.
        due_retries: tasks that may be retried now, ``due_checks`` checked now.
        due_since: since when the first of them waits.
        next_due_at: when the next of the others is due.
        totals: counters since the beginning: attempts, spent, ``calls:retry``, ``outcome:accepted`` …
    """

    account: str
    provider: str | None
    configured: bool | None
    recorded_provider: str | None = None
    tasks: dict[str, int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    due_retries: int = 0
    due_checks: int = 0
    due_since: datetime | None = None
    next_due_at: datetime | None = None
    clearing_seconds: float = 0
    batches: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    paused: Pause | None = None
    breakers: list[BreakerState] = field(default_factory=list)

    @property
    def matters(self) -> bool:
        """Whether there is anything to say of it: settings that are gone leave empty rows behind."""
        return bool(self.configured or self.paused or self.tasks or self.totals)

    def count(self, status: str, tasks_: int) -> None:
        """Count tasks of a status."""
        if tasks_:
            self.tasks[status] = self.tasks.get(status, 0) + tasks_


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at one moment: accounts by name, penalties, batches that have not ended, and who is at work.

    Attributes:
        processes: schedulers and workers; None where the schema does not know of them.
        missing: the kinds of them that do not run.
        set_aside: tasks that Redrive itself has set aside.
        troubles: account → why its work cannot be scheduled at the moment; ``""``: that of all.
    """

    at: datetime
    accounts: tuple[AccountOverview, ...]
    penalties: tuple[Penalty, ...]
    batches: tuple[BatchState, ...] = ()
    processes: tuple[Process, ...] | None = None
    missing: tuple[Missing, ...] = ()
    set_aside: tuple[TaskSetAside, ...] = ()
    troubles: Mapping[str, str] = field(default_factory=dict)


def overview(t: Transaction, rules_of: Mapping[str, Rules] | None) -> Overview:
    """The state of everything now; without rules where the settings of the service are not here."""
    found = _Accounts(rules_of)
    _known(t, found)
    open_batches = _open_batches(t, found)
    _waiting(t, found)
    _resting(t, found)
    _in_flight(t, found)
    _totals(t, found)
    penalties = _limits(t, found)
    for name, rules in (rules_of or {}).items():
        found[name].clearing_seconds = _clearing_seconds(found[name].due_retries, rules)
    known = (found[name] for name in sorted(found))
    running = processes(t)
    shown = tuple(each for each in known if each.matters)
    return Overview(
        t.now, shown, penalties, open_batches, running, missing(t, running), tasks_set_aside(t), troubles(t)
    )


def in_the_way(t: Transaction, rules_of: Mapping[str, Rules] | None, names: Collection[str]) -> Overview:
    """What keeps these accounts from work, and nothing else of them: for a word after something was done."""
    found = _Accounts(rules_of)
    _known(t, found)
    penalties = _limits(t, found)
    groups = {rules.group for name, rules in (rules_of or {}).items() if name in names} or set(names)
    return Overview(
        t.now,
        tuple(found[name] for name in sorted(names)),
        tuple(each for each in penalties if each.group in groups),
        missing=missing(t, processes(t)),
    )


def _clearing_seconds(due: int, rules: Rules) -> float:
    """The calls one after the other, as if none of the due tasks waited for another."""
    calls = -(-due // rules.capabilities.ids_per_call(Operation.RETRY))
    return calls * rules.interval_seconds


class _Accounts(defaultdict[str, AccountOverview]):
    """Accounts as they come up: from settings, rows or tasks."""

    def __init__(self, rules_of: Mapping[str, Rules] | None) -> None:
        super().__init__()
        self._others_are_configured = None if rules_of is None else False
        for name, rules in (rules_of or {}).items():
            self[name] = AccountOverview(name, rules.provider, configured=True)

    def __missing__(self, name: str) -> AccountOverview:
        self[name] = account = AccountOverview(name, None, configured=self._others_are_configured)
        return account


def _known(t: Transaction, found: _Accounts) -> None:
    for row in t.rows(select(*columns(accounts, t.level))):
        account = found[row.name]
        account.recorded_provider = row.provider
        account.provider = account.provider or row.provider
        if row.paused_at is not None:
            account.paused = Pause(row.paused_at, row.paused_cause, row.paused_reason, row.paused_by, row.probe_at)


def _waiting(t: Transaction, found: _Accounts) -> None:
    # Mostly nothing is set aside, and then no row is asked about it.
    claimed = not_set_aside(t.level) if tasks_set_aside(t) else true()
    for row in _counted(t, RETRY_DUE, claimed):
        account = found[row.account]
        account.count(row.status, row.tasks)
        account.due_retries += row.due
        _due(account, row)
    for row in _counted(t, CHECK_DUE, claimed):
        account = found[row.account]
        account.due_checks += row.due
        _due(account, row)
        if row.status not in AT_WORK_STATES:  # those are counted with what rests
            account.count(row.status, row.tasks)


def _counted(t: Transaction, predicate: str, claimed: ColumnElement[bool]) -> list[Row[Any]]:
    """By account and status; what is set aside has no turn, and its moment may be none."""
    due, later = and_(tasks.c.due_at <= t.now, claimed), and_(tasks.c.due_at > t.now, claimed)
    statement = select(
        tasks.c.account,
        tasks.c.status,
        func.count().label("tasks"),
        func.count().filter(due).label("due"),
        func.min(tasks.c.due_at).filter(due).label("due_since"),
        func.min(tasks.c.due_at).filter(later).label("next_due_at"),
    )
    return list(t.rows(statement.where(text(predicate)).group_by(tasks.c.account, tasks.c.status)))


def _due(account: AccountOverview, row: Row[Any]) -> None:
    account.due_since = min(filter(None, (account.due_since, row.due_since)), default=None)
    account.next_due_at = min(filter(None, (account.next_due_at, row.next_due_at)), default=None)


def _resting(t: Transaction, found: _Accounts) -> None:
    statement = select(tasks.c.account, tasks.c.status, func.count().label("tasks")).where(text(RESTING))
    for row in t.rows(statement.group_by(tasks.c.account, tasks.c.status)):
        found[row.account].count(row.status, row.tasks)


def _open_batches(t: Transaction, found: _Accounts) -> tuple[BatchState, ...]:
    statement = select(batches).where(text("status IN ('queued', 'sending')")).order_by(batches.c.created_at)
    open_ones = []
    for row in t.rows(statement):
        found[row.account].batches += 1
        unbegun = row.begun_at is None and t.now - row.created_at >= UNBEGUN_AFTER
        open_ones.append(
            BatchState(
                row.id, row.account, row.provider, Operation(row.operation), row.status, row.size, row.created_at,
                row.publishes, row.worker, row.lease_until, unbegun,
            )
        )  # fmt: skip
    return tuple(open_ones)


def _in_flight(t: Transaction, found: _Accounts) -> None:
    """Through the open batches: a task in flight is in one."""
    retries = select(batches.c.task_ids).where(text("status IN ('queued', 'sending')"), batches.c.operation == "retry")
    ids = [task_id for row in t.rows(retries) for task_id in row.task_ids]
    if not ids:
        return
    mine = and_(one_of(tasks.c.id, ids), tasks.c.status == Status.IN_FLIGHT.value)
    statement = select(tasks.c.account, func.count().label("tasks")).where(mine)
    for row in t.rows(statement.group_by(tasks.c.account)):
        found[row.account].count(Status.IN_FLIGHT, row.tasks)


def _totals(t: Transaction, found: _Accounts) -> None:
    for row in totals_now(t):
        account, (kind, _, reason) = found[row.account], row.name.partition(":")
        if kind == "dead":
            account.dead[reason] = row.value
            account.count(Status.DEAD, row.value)
        elif kind == "succeeded":
            account.count(Status.SUCCEEDED, row.value)
        else:
            account.totals[row.name] = row.value


def _limits(t: Transaction, found: _Accounts) -> tuple[Penalty, ...]:
    operations = {breaker_path(operation): operation for operation in Operation}
    penalties = []
    for row in t.rows(select(*columns(limits, t.level)).order_by(limits.c.group, limits.c.path)):
        if (operation := operations.get(row.path)) is not None:
            if row.open_until is not None:
                state = BreakerState(operation, row.open_until, row.failures, row.why, row.probe is not None)
                found[row.group].breakers.append(state)
        elif row.blocked_until is not None and row.blocked_until > t.now:
            penalties.append(Penalty(row.group, row.path, row.blocked_until, row.why))
    return tuple(penalties)
