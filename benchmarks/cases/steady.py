"""Steady state: so many tasks a second, followed to their end and pruned, for as long as is asked."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.ground import Ground
from benchmarks.measure import cpu_seconds, memory_mb
from benchmarks.options import Options
from benchmarks.race import pause, say
from benchmarks.redrive_system import Redrive
from benchmarks.tables import Table, Target, shown

KEEP_SECONDS = 300.0
POLICY = {"check_after_seconds": 5, "check_max_seconds": 30, "settle_seconds": 2}
SCHEDULER_MB, WORKER_MB = 90.0, 150.0
THROUGHPUT = 0.95
DEAD_SHARE = 1.5

STATE = """
SELECT
    (SELECT count(*) FROM redrive_tasks WHERE status IN ('failed', 'in_flight')),
    (SELECT coalesce(sum(value), 0) FROM redrive_totals WHERE name = 'pruned'),
    (SELECT sum(n_dead_tup) FROM pg_stat_user_tables),
    (SELECT count(*) FROM redrive_tasks),
    pg_current_wal_lsn() - '0/0'::pg_lsn
"""
SIZE = "SELECT pg_total_relation_size('redrive_tasks'), pg_total_relation_size('redrive_attempts')"


@dataclass(frozen=True, slots=True)
class Moment:
    """The state at a moment; counts are since the start."""

    minute: float
    arrived: int
    retried: int
    checked: int
    waiting: int
    pruned: int
    dead: int
    rows: int
    wal: int
    scheduler_mb: float
    worker_mb: float
    cpu: Mapping[str, float]


class Steady:
    """Feeds and watches."""

    def __init__(self, ground: Ground, minutes: float, arrive: int) -> None:
        days = min(KEEP_SECONDS, minutes * 60 / 5) / 86_400
        retention = f"[retention]\nsucceeded_days = {days:.9f}\nbatches_days = {days:.9f}"
        self.redrive = Redrive(policy=POLICY, more=retention)
        self.ground = ground
        self.minutes = minutes
        self.arrive = arrive
        self.moments: list[Moment] = []
        self.size = ""
        self._fed = 0

    def run(self) -> None:
        with self.ground.provider() as self._provider:
            try:
                self.redrive.start(self.ground, self._provider, "geelark")
                self._feed()
                self.size = self._size()
            finally:
                self.redrive.close()

    def _feed(self) -> None:
        began = last = time.monotonic()
        every = max(1.0, min(60.0, self.minutes * 60 / 10))
        self._note(0.0)
        while (elapsed := time.monotonic() - began) < self.minutes * 60:
            if (due := int(elapsed * self.arrive) - self._fed) > 0:
                self.redrive.add(self._fed + 1, due)
                self._fed += due
            if time.monotonic() - last >= every:
                last += every
                self._note(elapsed / 60)
            pause(self.redrive, began + self.minutes * 60 + 60, 0.2)
        self._note(self.minutes)

    def _size(self) -> str:
        tasks, attempts = self.redrive.connection.execute(SIZE).fetchone() or (0, 0)
        rows = max(1, self.moments[-1].rows)
        return (
            f"Stored per task, at the end: {tasks / rows / 1000:.2f} kB, its attempts {attempts / rows / 1000:.2f} kB."
        )

    def _note(self, minute: float) -> None:
        waiting, pruned, dead, rows, wal = map(int, self.redrive.connection.execute(STATE).fetchone() or (0,) * 5)
        stats = self._provider.stats()
        parts = {"worker": self.redrive.workers[0], "scheduler": self.redrive.scheduler,
                 "PostgreSQL": self.ground.postgres.process, "Valkey": self.ground.valkey.process}  # fmt: skip
        cpu = {name: cpu_seconds([process.pid]) for name, process in parts.items()}
        scheduler, worker = (memory_mb(parts[name].pid) for name in ("scheduler", "worker"))
        self.moments.append(
            Moment(minute, self._fed, stats["retried"], stats["checked"], waiting, pruned, dead, rows, wal, scheduler,
                   worker, cpu)
        )  # fmt: skip
        say(f"  {minute:.1f} min: {self.moments[-1]}")


COLUMNS = ("minute", "retried/s", "checked/s", "waiting", "stored tasks", "pruned", "dead tuples", "scheduler MB",
           "worker MB", "cores used")  # fmt: skip


def steady(ground: Ground, options: Options) -> Table:
    """Every minute, or ten times."""
    run = Steady(ground, options.minutes, options.arrive)
    run.run()
    moments, settings = run.moments, run.redrive.settings
    rows = [row(before, after) for before, after in pairwise(moments) if after.minute > before.minute]
    fifth = max(1, len(rows) // 5)
    # The first fifth is for starting: nothing has come back for a check yet.
    settled = moments[min(fifth, len(moments) - 2) :]
    early, late = rate(settled[: fifth + 1]), rate(settled[-fifth - 1 :])
    first, last = settled[0], settled[-1]
    most_early = max(m.dead for m in moments[: len(moments) // 2 + 1])
    most_late = max(m.dead for m in moments[len(moments) // 2 :])
    return Table(
        "steady", f"Steady state: {options.arrive} tasks/s for {options.minutes:g} minutes, followed and pruned",
        COLUMNS, rows,
        [
            Target("throughput, last fifth ÷ second fifth", late / early, THROUGHPUT, unit="x"),
            Target("retried ÷ arrived", (last.retried - first.retried) / (last.arrived - first.arrived), THROUGHPUT,
                   unit="x"),
            Target("dead tuples, most in the second half ÷ in the first", most_late / max(1, most_early), DEAD_SHARE,
                   at_most=True, unit="x"),
            Target("scheduler, most", max(m.scheduler_mb for m in moments), SCHEDULER_MB, at_most=True, unit=" MB"),
            Target("worker, most", max(m.worker_mb for m in moments), WORKER_MB, at_most=True, unit=" MB"),
        ],
        [settings, f"GeeLark, 100 ids a call; tasks are pruned {KEEP_SECONDS:g} s after they succeeded, or later.",
         *costs(first, last), run.size],
        lines={
            "retried/s": [(m.minute, rate([b, m])) for b, m in pairwise(moments)],
            "scheduler MB": [(m.minute, m.scheduler_mb) for m in moments],
            "worker MB": [(m.minute, m.worker_mb) for m in moments],
            "dead tuples / 1,000": [(m.minute, m.dead / 1000) for m in moments],
        },
    )  # fmt: skip


def costs(first: Moment, last: Moment) -> tuple[str, str]:
    """What a task cost from its arrival to its end, between two moments."""
    tasks = last.retried - first.retried
    cpu = {part: (last.cpu[part] - first.cpu[part]) / tasks * 1000 for part in last.cpu}
    parts = ", ".join(f"{part} {shown(seconds)}" for part, seconds in cpu.items())
    return (
        f"CPU seconds per 1,000 tasks: {shown(sum(cpu.values()))} ({parts}).",
        f"Write-ahead log per task, full-page images included: {shown((last.wal - first.wal) / tasks / 1000)} kB.",
    )


def row(before: Moment, after: Moment) -> tuple[float | int, ...]:
    seconds = (after.minute - before.minute) * 60
    cores = (sum(after.cpu.values()) - sum(before.cpu.values())) / seconds
    return (
        round(after.minute, 2), rate([before, after]), (after.checked - before.checked) / seconds, after.waiting,
        after.rows, after.pruned, after.dead, after.scheduler_mb, after.worker_mb, cores,
    )  # fmt: skip


def rate(moments: Sequence[Moment]) -> float:
    """Tasks retried per second from the first to the last."""
    seconds = (moments[-1].minute - moments[0].minute) * 60
    return (moments[-1].retried - moments[0].retried) / seconds if seconds else 0.0
