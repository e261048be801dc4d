"""Cost follows what is due: claims and idle passes beside millions of stored tasks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from statistics import median

import structlog
from sqlalchemy import event

from models import ledger
from models.capabilities import DOCFLOW
from models.db import Database
from models.rules import Rules, rules_of
from models.settings import load
from models.settings.policy import Policy
from models.states import Operation
from scheduler.publish import Publisher
from scheduler.service import Scheduler

from ..ground import Ground
from ..measure import p99
from ..options import Options
from ..race import say
from ..stored import BIG, Stored
from ..tables import Table, Target

SMALL_ROWS = 10_000
CLAIM = 100
CLAIMS, WARM_UP = 400, 40
CLAIM_RATIO = 1.3
IDLE_MS = 20.0

GIVE_BACK = """
WITH back AS (DELETE FROM redrive_batches WHERE id = %s RETURNING id)
UPDATE redrive_tasks SET status = held_from, held_from = NULL, batch_id = NULL,
    due_at = clock_timestamp() - interval '1 hour' FROM back WHERE batch_id = back.id
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

    def claim(self) -> None:
        began = time.perf_counter()
        with self._database.transaction() as t:
            claimed = ledger.claim(t, self._rules, Operation.RETRY, self._rng)
        self.times.append((time.perf_counter() - began) * 1000)
        if claimed.batch is None or claimed.batch.size != CLAIM:
            raise RuntimeError(f"not a whole batch: {claimed}")
        self.stored.connection.execute(GIVE_BACK, [claimed.batch.id])

    def close(self) -> None:
        self._database.close()


def claims(ground: Ground, big: Stored, options: Options) -> Table:
    """The two databases in turns, so that what disturbs one disturbs the other."""
    small = Stored(ground, SMALL_ROWS, 1)
    claimers = [Claimer(small), Claimer(big)]
    for number in range(WARM_UP + (100 if options.quick else CLAIMS)):
        for claimer in claimers:
            claimer.claim()
            if number == WARM_UP - 1:
                claimer.times.clear()
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
        [f"Warm, in turns, each given back before the next. Of the {big.rows:,} rows the account holds half."],
    )  # fmt: skip


# --- Idle passes -----------------------------------------------------------------------------------------------------


def idle(ground: Ground, stored: Stored, options: Options) -> Table:
    """Passes of a scheduler that finds nothing due."""
    rows = []
    for accounts in (10, options.accounts):
        database = Database(stored.url)
        scheduler = made(ground, database, accounts)
        first = timed(scheduler, database)
        passes = [timed(scheduler, database) for _ in range(60)][10:]
        statements = {each[1] for each in passes}
        rows.append((f"Redrive, {accounts:,} accounts", median(each[0] for each in passes), p99([e[0] for e in passes]),
                     "/".join(map(str, sorted(statements))), first[0], first[1]))  # fmt: skip
        scheduler.publisher.close()
        database.close()
    few, many = rows
    columns = ("", "median ms", "p99 ms", "statements", "the pass that also prunes, ms", "its statements")
    return Table(
        "idle", f"An idle pass beside {stored.rows:,} stored tasks", columns, rows,
        [
            Target(f"median with {options.accounts:,} accounts", many[1], IDLE_MS, at_most=True, unit=" ms"),
            Target("statements, many accounts ÷ few", int(many[3].split("/")[-1]) / int(few[3].split("/")[-1]), 1.0,
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
    scheduler = Scheduler(database, Publisher(ground.broker()), settings, rules_of(settings))
    scheduler.start()
    return scheduler


def timed(scheduler: Scheduler, database: Database) -> tuple[float, int]:
    """Milliseconds and statements of one pass."""
    with counting(database) as statements:
        began = time.perf_counter()
        done = scheduler.run_once()
        took = (time.perf_counter() - began) * 1000
    if done.looked_at:
        raise RuntimeError(f"not idle: {done}")
    return took, len(statements)


@contextmanager
def counting(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)
