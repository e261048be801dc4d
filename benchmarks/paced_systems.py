"""Contestants with many busy accounts at a provider's own pace, and a quiet one that has a task now and then."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks import plain
from benchmarks.ground import Ground
from benchmarks.naive import tables
from benchmarks.naive.system import USUAL, Naive
from benchmarks.redrive_system import KINDS, Redrive
from benchmarks.systems import System
from redrive.models.capabilities import Capabilities
from redrive.models.providers import BUILT_IN
from redrive.models.rules import interval_seconds
from redrive.models.settings.policy import Policy
from tests.support.processes import Process

QUIET = "quiet"
FIRST_QUIET = 1_000_000_000
"""The id of the quiet account's first task."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What all contestants of a measurement are given.

    Attributes:
        provider: of all accounts, with its default rates.
        accounts: busy ones.
        check_after_seconds: from a retry to the check of it; None: Redrive's default.
    """

    provider: str
    accounts: int
    check_after_seconds: float | None = None

    @property
    def capabilities(self) -> Capabilities:
        return BUILT_IN[self.provider]

    @property
    def check_seconds(self) -> float:
        """From a retry to its check."""
        seconds = self.check_after_seconds
        return Policy().check_after_seconds if seconds is None else seconds

    @property
    def interval(self) -> float:
        """Seconds between two calls of an account on a path."""
        return interval_seconds(self.capabilities.calls_per_minute, self.capabilities.calls_per_hour)

    @property
    def paths(self) -> tuple[str, str]:
        """The API paths of retries and of checks."""
        kind = self.capabilities.kinds[0]
        return kind.retry_path, kind.check_path


class PacedSystem(System):
    """A contestant of the paced measurements.

    Attributes:
        workers: its processes that make the calls.
    """

    pace: Pace
    connection: psycopg.Connection[Any]
    workers: list[Process]

    @abstractmethod
    def add_backlog(self, each: int) -> None:
        """Make so many tasks of each busy account due."""

    @abstractmethod
    def add_quiet(self, number: int) -> float:
        """Make one task of the quiet account due; returns the moment."""

    @abstractmethod
    def overdue(self) -> float:
        """How long the oldest check that is due has been so."""


# --- Redrive ---------------------------------------------------------------------------------------------------------

BACKLOG = """
INSERT INTO redrive_tasks (account, kind, external_id, status)
SELECT 'busy' || 1 + n %% %s, %s, n::text, 'failed' FROM generate_series(1, %s::bigint) n
"""
ONE = """
INSERT INTO redrive_tasks (account, kind, external_id, status) VALUES (%s, %s, %s, 'failed')
RETURNING extract(epoch FROM due_at)::float8
"""
OVERDUE = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0)::float8 FROM redrive_tasks
WHERE next = 'check' AND status = 'retrying' AND due_at <= clock_timestamp()
"""
CLAIMED = """
SELECT extract(epoch FROM min(b.created_at) - t.created_at)::float8
FROM redrive_batches b, jsonb_array_elements_text(b.task_ids) AS taken (id)
JOIN redrive_tasks t ON t.id = taken.id::bigint
WHERE b.account = %s AND b.operation = 'retry' GROUP BY t.id
"""
CHECKED = """
SELECT extract(epoch FROM min(b.created_at) - min(a.closed_at))::float8 - %s
FROM redrive_batches b, jsonb_array_elements_text(b.task_ids) AS taken (id)
JOIN redrive_attempts a ON a.task_id = taken.id::bigint
WHERE b.account <> %s AND b.operation = 'check' GROUP BY a.task_id
"""


class PacedRedrive(Redrive, PacedSystem):
    """Redrive with everything at its defaults, the limits that protect providers among them."""

    def __init__(self, pace: Pace, workers: int) -> None:
        names = [f"busy{n}" for n in range(1, pace.accounts + 1)]
        seconds = pace.check_after_seconds
        policy = {} if seconds is None else {"check_after_seconds": seconds, "settle_seconds": seconds / 2}
        super().__init__(workers, lifted=False, policy=policy, accounts=dict.fromkeys([*names, QUIET], pace.provider))
        self.pace = pace

    def add_backlog(self, each: int) -> None:
        accounts = self.pace.accounts
        self.connection.execute(BACKLOG, [accounts, KINDS[self.pace.provider], each * accounts])
        self.wake()

    def add_quiet(self, number: int) -> float:
        values = [QUIET, KINDS[self.pace.provider], str(FIRST_QUIET + number)]
        due_at = _number(self.connection.execute(ONE, values).fetchone())
        self.wake()
        return due_at

    def overdue(self) -> float:
        return _number(self.connection.execute(OVERDUE).fetchone())

    def claims(self) -> list[float]:
        """Of each claimed task of the quiet account: seconds from its due moment to its claim."""
        return [float(seconds) for (seconds,) in self.connection.execute(CLAIMED, [QUIET])]

    def check_claims(self) -> list[float]:
        """The same of the first check of each task of the others that was claimed for one."""
        values = [self.pace.check_seconds, QUIET]
        return [float(seconds) for (seconds,) in self.connection.execute(CHECKED, values)]


# --- Hand-written ----------------------------------------------------------------------------------------------------

NAIVE_BACKLOG = """
INSERT INTO tasks (account, external_id)
SELECT 'busy' || 1 + n %% %s, n::text FROM generate_series(1, %s::bigint) n
"""
NAIVE_ONE = """
INSERT INTO tasks (account, external_id) VALUES (%s, %s) RETURNING extract(epoch FROM due_at)::float8
"""
NAIVE_OVERDUE = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(due_at)), 0)::float8 FROM tasks
WHERE status = 'retrying' AND due_at <= clock_timestamp()
"""


class PacedNaive(Naive, PacedSystem):
    """A message per call, a limiter per account in Redis."""

    title = "hand-written Celery, paced"
    app = "paced_app"
    schema = tables.PACED
    words = f"{USUAL}; a Lua limiter per account and operation in Redis, a job per call, attempts in a table"

    def __init__(self, pace: Pace, processes: int) -> None:
        super().__init__(processes)
        self.pace = pace

    @property
    def more_env(self) -> Mapping[str, str]:
        return {plain.INTERVAL: str(self.pace.interval), plain.CHECK_AFTER: str(self.pace.check_seconds)}

    def start_workers(self, ground: Ground) -> None:
        super().start_workers(ground)
        self.workers = self.processes[:1]

    def add_backlog(self, each: int) -> None:
        accounts = self.pace.accounts
        names = [QUIET, *(f"busy{n}" for n in range(1, accounts + 1))]
        self.connection.execute("INSERT INTO accounts SELECT unnest(%s::text[])", [names])
        self.connection.execute(NAIVE_BACKLOG, [accounts, each * accounts])

    def add_quiet(self, number: int) -> float:
        return _number(self.connection.execute(NAIVE_ONE, [QUIET, str(FIRST_QUIET + number)]).fetchone())

    def overdue(self) -> float:
        return _number(self.connection.execute(NAIVE_OVERDUE).fetchone())


def _number(row: tuple[Any, ...] | None) -> float:
    if row is None:
        raise LookupError("the statement returned no row")
    return float(row[0])
