"""Thousands of configured accounts: what they cost at the start, and a pass over those that have work and no room."""

import time
from pathlib import Path
from statistics import median

import psycopg

from benchmarks.cases.cold import ready
from benchmarks.cases.many_rows import made
from benchmarks.ground import Ground
from benchmarks.measure import memory_mb
from benchmarks.options import Options
from benchmarks.race import say
from benchmarks.redrive_system import Redrive
from benchmarks.tables import Table, Target
from redrive.models.settings import load
from redrive.models.sql.db import Database
from redrive.scheduler import claiming

READY_SECONDS, LOAD_SECONDS = 3.0, 0.5
MEMORY_MB = (180.0, 350.0)
"""Of a worker with a thousand accounts, and with five thousand."""
PASS_MS = 50.0
PASSES = 30

DUE = """
INSERT INTO redrive_tasks (account, kind, external_id)
SELECT name, 'review_task', n::text FROM (SELECT name FROM redrive_accounts ORDER BY name LIMIT %s) busy,
    generate_series(1, 5) n
"""
FULL = """
INSERT INTO redrive_batches (id, account, provider, operation, task_ids, size, publish_at)
SELECT gen_random_uuid(), name, 'docflow', 'retry', '[1]', 1, clock_timestamp() + interval '1 hour'
FROM (SELECT name FROM redrive_accounts ORDER BY name LIMIT %s) busy, generate_series(1, 4)
"""


def thousands(ground: Ground, options: Options) -> Table:
    """Settings, scheduler and worker with many accounts and nothing to do."""
    times = 1 if options.quick else 3
    rows = [started(ground, number, times) for number in (options.accounts, 5 * options.accounts)]
    most = rows[-1]
    return Table(
        "accounts", "Accounts that are configured and have nothing to do",
        ("", "settings load, s", "scheduler ready, s", "worker ready, s", "scheduler MB", "worker MB"), rows,
        [
            Target("settings of all accounts", most[1], LOAD_SECONDS, at_most=True, unit=" s"),
            Target("scheduler ready with all", most[2], READY_SECONDS, at_most=True, unit=" s"),
            Target("worker ready with all", most[3], READY_SECONDS, at_most=True, unit=" s"),
            *(Target(f"a worker's memory with {row[0]}", row[5], wanted, at_most=True, unit=" MB")
              for row, wanted in zip(rows, MEMORY_MB, strict=True)),
        ],
        [f"Medians of {times}; memory at the first start."], bars=3,
    )  # fmt: skip


def started(ground: Ground, number: int, times: int) -> tuple[str, float, float, float, float, float]:
    redrive = Redrive(accounts={f"reviews{n}": "docflow" for n in range(1, number + 1)})
    with ground.provider() as provider:
        try:
            redrive.start(ground, provider, "docflow")
            memory = [memory_mb(process.pid) for process in (redrive.scheduler, *redrive.workers)]
            loads = [loaded(Path(redrive.env["REDRIVE_CONFIG"])) for _ in range(times)]
            parts = [median(ready(ground, redrive, part)[0] for _ in range(times)) for part in ("scheduler", "worker")]
        finally:
            redrive.close()
    say(f"  {number:,} accounts: {memory}")
    return f"{number:,} accounts", median(loads), parts[0], parts[1], memory[0], memory[1]


def loaded(config: Path) -> float:
    began = time.perf_counter()
    load(config, {})
    return time.perf_counter() - began


def crowded(ground: Ground, options: Options) -> Table:
    """Passes over accounts of which half have due work and no room; with the look at all of them, and without."""
    busy = options.accounts // 2
    with ground.database() as url:
        database = Database(url)
        scheduler = made(ground, database, options.accounts)
        with psycopg.connect(ground.conninfo(url), autocommit=True) as connection:
            for statement in (DUE, FULL):
                connection.execute(statement, [busy])
            connection.execute("VACUUM ANALYZE")
        times: dict[int, list[float]] = {claiming.WORTH_A_SURVEY: [], options.accounts + 1: []}
        usual = claiming.WORTH_A_SURVEY
        for _ in range(3 if options.quick else PASSES):
            for least, taken in times.items():
                claiming.WORTH_A_SURVEY = least
                began = time.perf_counter()
                if (done := scheduler.run_once()).examined:
                    raise RuntimeError(f"there was room: {done}")
                taken.append((time.perf_counter() - began) * 1000)
        claiming.WORTH_A_SURVEY = usual
        database.close()
    looking, asking = (median(taken) for taken in times.values())
    return Table(
        "crowded", f"A pass over {options.accounts:,} accounts, {busy:,} of them with due work and no room",
        ("", "median ms"), [("one look at all", looking), ("a claim of each, as before", asking)],
        [Target("pass", looking, PASS_MS, at_most=True, unit=" ms")], ["Each has four batches on their way."],
    )  # fmt: skip
