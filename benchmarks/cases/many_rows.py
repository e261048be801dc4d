"""Cost follows what is due: claims and idle passes beside millions of stored tasks."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from statistics import median
from typing import NamedTuple

import structlog
from sqlalchemy import event, func, select

from benchmarks.ground import Ground
from benchmarks.measure import p99
from benchmarks.options import Options
from benchmarks.race import say
from benchmarks.stored import BIG, Stored
from benchmarks.tables import Table, Target
from redrive.models import ledger
from redrive.models.providers import DOCFLOW
from redrive.models.rules import Rules, rules_of
from redrive.models.settings import load
from redrive.models.settings.policy import Policy
from redrive.models.sql.db import Database
from redrive.models.states import Operation
from redrive.scheduler.prune import PAGE_SECONDS
from redrive.scheduler.publish import Publisher
from redrive.scheduler.service import Scheduler

SMALL_ROWS = 10_000
CLAIM = 100
CLAIMS = 1000
WARM_CLAIMS = 50
"""Before as many, PostgreSQL still plans each statement anew."""
CLAIM_RATIO = 1.3
IDLE_MS = 20.0

GIVE_BACK = """
WITH back AS (DELETE FROM redrive_batches WHERE id = %s RETURNING task_ids)
UPDATE redrive_tasks SET status = held_from, held_from = NULL, batch_id = NULL,
    due_at = clock_timestamp() - interval '1 hour' WHERE id IN (
    SELECT jsonb_array_elements_text(task_ids)::bigint FROM back
)
"""


def many_rows(ground: Ground, options: Options) -> list[Table]:
    """One load of the rows serves both measurements."""
    began = time.monotonic()
    big = Stored(ground, options.rows, options.accounts)
    say(f"  {options.rows:,} rows loaded in {time.monotonic() - began:,.0f} s")
    try:
        return [idle(ground, big, options), claims(ground, big, options)]
    finally:
        big.close()


# --- Claims ----------------------------------------------------------------------------------------------------------


class Claimer:
    """Claims and gives back, over and over, so that every claim finds the same."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.due = stored.make_due(max(CLAIM, stored.rows // 100))
        self.times: list[float] = []
        self._database = Database(stored.url)
        self._rules = Rules(
            BIG, DOCFLOW, Policy(), group=BIG, interval_seconds=1e-6, batch_size=CLAIM, max_in_flight=1000
        )
        self._rng = Random(1)

    def claim(self) -> float:
        """Claim and give back; returns the milliseconds of the claim."""
        began = time.perf_counter()
        with self._database.transaction() as t:
            claimed = ledger.claim(t, self._rules, Operation.RETRY, self._rng)
        took = (time.perf_counter() - began) * 1000
        if claimed.batch is None or claimed.batch.size != CLAIM:
            raise RuntimeError(f"not a whole batch: {claimed}")
        self.stored.connection.execute(GIVE_BACK, [claimed.batch.id])
        return took

    def warm_up(self) -> None:
        """Claim everything due once, so that each of its pages was written before, and clean up after that."""
        self._pin()
        for _ in range(max(WARM_CLAIMS, self.due // CLAIM)):
            self.claim()
        self.stored.connection.execute("VACUUM ANALYZE redrive_tasks")

    def _pin(self) -> None:
        """Keep its server process on one core: on the client's own it answers in half the time of another."""
        with self._database.reading() as t:
            pid = t.execute(select(func.pg_backend_pid())).scalar_one()
        if sys.platform == "linux":
            os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})

    def close(self) -> None:
        self._database.close()


def claims(ground: Ground, big: Stored, options: Options) -> Table:
    """The two databases in turns, so that what disturbs one disturbs the other."""
    small = Stored(ground, SMALL_ROWS, 1)
    claimers = [Claimer(small), Claimer(big)]
    for claimer in claimers:
        claimer.warm_up()
    for number in range(100 if options.quick else CLAIMS):
        for claimer in claimers if number % 2 else reversed(claimers):
            claimer.times.append(claimer.claim())
    for claimer in claimers:
        claimer.close()
    small.close()
    rows = [
        (f"Redrive, {c.stored.rows:,} rows, {c.due:,} due", median(c.times), p99(c.times), len(c.times))
        for c in claimers
    ]
    return Table(
        "claims", f"A claim of {CLAIM} due tasks, with its commit", ("", "median ms", "p99 ms", "claims"), rows,
        [
            Target("median, big ÷ small", rows[1][1] / rows[0][1], CLAIM_RATIO, at_most=True, unit="x"),
            Target("p99, big ÷ small", rows[1][2] / rows[0][2], CLAIM_RATIO, at_most=True, unit="x"),
        ],
        [f"In turns, each given back before the next. Of the {big.rows:,} rows the account holds half.",
         "Warm: all that is due was claimed once before. Both server processes are kept on the same core."],
    )  # fmt: skip


# --- Idle passes -----------------------------------------------------------------------------------------------------


def idle(ground: Ground, stored: Stored, options: Options) -> Table:
    """Passes of a scheduler that finds nothing due."""
    rows = []
    for accounts in (10, options.accounts):
        database = Database(stored.url)
        scheduler = made(ground, database, accounts)
        sweep = list(through_sweep(scheduler, database))
        passes = [timed(scheduler, database) for _ in range(50)]
        rows.append((f"Redrive, {accounts:,} accounts", median(each.ms for each in passes),
                     p99([each.ms for each in passes]), max(each.statements for each in passes),
                     max(each.ms for each in sweep), max(each.statements for each in sweep)))  # fmt: skip
        scheduler.publisher.close()
        database.close()
    few, many = rows
    columns = ("", "median ms", "p99 ms", "statements", "longest that also prunes, ms", "most statements")
    return Table(
        "idle", f"An idle pass beside {stored.rows:,} stored tasks", columns, rows,
        [
            Target(f"median with {options.accounts:,} accounts", many[1], IDLE_MS, at_most=True, unit=" ms"),
            Target("statements, many accounts ÷ few", max(many[3] / few[3], many[5] / few[5]), 1.0,
                   at_most=True, unit="x"),
        ],
        ["Nine of ten rows have succeeded, the others are due tomorrow; half of them belong to one account.",
         "Pruning looks at each account, every five minutes."],
    )  # fmt: skip


def made(ground: Ground, database: Database, accounts: int) -> Scheduler:
    """A scheduler of so many accounts, as its command builds it."""
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    account = (
        '[accounts.a{0:04}]\nprovider = "docflow"\napp_id = {{ env = "A{0}" }}\nsecret_code = {{ env = "S{0}" }}\n'
    )
    config = ground.folder() / "redrive.toml"
    config.write_text("".join(account.format(n) for n in range(1, accounts + 1)))
    settings = load(config, {})
    scheduler = Scheduler(database, Publisher(ground.broker(), settings.queues), settings, rules_of(settings))
    scheduler.start()
    return scheduler


class Idle(NamedTuple):
    """What one pass took."""

    ms: float
    statements: int


def through_sweep(scheduler: Scheduler, database: Database) -> Iterator[Idle]:
    """Passes while the first sweep of the pruner goes on, a page at a time: the next comes minutes later."""
    until = time.monotonic() + 6 * PAGE_SECONDS
    while time.monotonic() < until:
        yield timed(scheduler, database)


def timed(scheduler: Scheduler, database: Database) -> Idle:
    """One pass."""
    with counting(database) as statements:
        began = time.perf_counter()
        done = scheduler.run_once()
        took = (time.perf_counter() - began) * 1000
    if done.examined:
        raise RuntimeError(f"not idle: {done}")
    return Idle(took, len(statements))


@contextmanager
def counting(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)
