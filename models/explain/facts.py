"""What an explanation rests on, as plain values: gathered by ``queries.facts``, made by hand in tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from ..ledger import AccountRow, Breaker, Odd, OnItsWay, Path
from ..lifecycle import Context
from ..policy import Stood, never_stood
from ..rules import Rules
from ..states import BatchStatus, Operation
from ..task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """The unfinished batch a task is in, for a retry or for a check."""

    id: UUID
    operation: Operation
    status: BatchStatus
    size: int
    created_at: datetime
    publishes: int = 0
    publish_at: datetime | None = None
    worker: str = ""
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """A task's last attempt; ``outcome`` is None while its answer is not recorded."""

    number: int
    opened_at: datetime
    closed_at: datetime | None = None
    outcome: str | None = None
    http_status: int | None = None
    code: str = ""
    message: str = ""
    result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFacts:
    """The last thing somebody did to a task on purpose."""

    at: datetime
    who: str
    what: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A task and everything that decides about it.

    Attributes:
        rules: None: its account is not configured here, or nobody can say (``settings_known``).
        settings_known: whether the settings of the service are here.
        account: its account's row; None: no scheduler has made it yet.
        breaker: of the operation that is next.
        paths: the limit group's API paths.
        under_way: batches of its account and of the operation that is next.
        busy: a conflicting task is under way, or an attempt of this one is open; ``excluded_by``: those tasks.
        missing: the processes without which nothing happens and of which none runs, by their role: when the last one
            was seen.
        ahead: due tasks of the account that come before it, counted up to a bound.
        set_aside: why Redrive itself has set it aside; None where it has not.
        trouble: what keeps the scheduler from its account's work.
        stood: how long its account has stood still since a moment.
    """

    task: Task
    now: datetime
    rules: Rules | None
    settings_known: bool = True
    account: AccountRow | None = None
    breaker: Breaker = field(default_factory=Breaker)
    paths: Mapping[str, Path] = field(default_factory=dict)
    under_way: tuple[OnItsWay, ...] = ()
    batch: BatchFacts | None = None
    attempt: AttemptFacts | None = None
    action: ActionFacts | None = None
    busy: bool = False
    excluded_by: tuple[int, ...] = ()
    ahead: int = 0
    missing: Mapping[str, datetime | None] = field(default_factory=dict)
    set_aside: Odd | None = None
    trouble: str = ""
    stood: Stood = never_stood


@dataclass(frozen=True, slots=True)
class Known:
    """The facts of a task whose account is configured: what most sentences are made from."""

    facts: Facts
    task: Task
    rules: Rules
    now: datetime

    @property
    def context(self) -> Context:
        """What the lifecycle decides by."""
        return Context(self.rules, self.now, stood=self.facts.stood)

    @property
    def limit(self) -> int:
        """Retries allowed."""
        return self.task.limit(self.rules)
