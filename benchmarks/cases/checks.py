"""How many ids a status call asks for, where it can ask for a hundred."""

import time
from collections.abc import Mapping
from statistics import median
from typing import NamedTuple

from benchmarks.ground import Ground, Provider
from benchmarks.options import Options
from benchmarks.race import pause, say
from benchmarks.redrive_system import Redrive
from benchmarks.tables import Table, Target
from redrive.models.providers import GEELARK

RUN_SECONDS, QUICK_RUN_SECONDS = 60.0, 2.0
"""A retried task runs so long on average, so that most are checked more than once."""
UNDER_WAY = (100, 1000)
IDS = 50.0


class Checked(NamedTuple):
    """One run.

    Attributes:
        under_way: tasks retried and not found to have ended, on average.
        retry_ids: ids per retry call; ``check_ids`` per status call.
        checks: status calls' ids per task retried.
    """

    under_way: float
    retry_ids: float
    check_ids: float
    checks: float


def checks(ground: Ground, options: Options) -> Table:
    """Tasks come one by one, so that so many are under way at once; everything else is at its defaults."""
    found: dict[int, list[Checked]] = {}
    for number in range(1, options.runs + 1):
        for under_way in UNDER_WAY[: 1 if options.quick else None]:
            run = run_of(ground, options, under_way)
            found.setdefault(under_way, []).append(run)
            say(f"  run {number}: {under_way} under way: {run.check_ids:.1f} ids per status call")
    rows = medians(found)
    return Table(
        "checks", "GeeLark, followed: ids per status call",
        ("", "under way", "ids per retry call", "ids per status call", "ids asked about per task"),
        [(f"Redrive, {n:,} run at once", *row) for n, row in rows.items()],
        [Target("ids per status call, 100 run at once", rows[100].check_ids, IDS)],
        ["Default settings, one worker.",
         f"Tasks come one by one and run {run_seconds(options):g} s, half of that to one and a half times."], bars=3,
    )  # fmt: skip


def medians(found: Mapping[int, list[Checked]]) -> dict[int, Checked]:
    return {n: Checked(*(median(column) for column in zip(*runs, strict=True))) for n, runs in found.items()}


def run_seconds(options: Options) -> float:
    return QUICK_RUN_SECONDS if options.quick else RUN_SECONDS


def run_of(ground: Ground, options: Options, under_way: int) -> Checked:
    """Feed until the first tasks have ended, and measure for the time of one task."""
    seconds = run_seconds(options)
    policy = {"check_after_seconds": 1, "settle_seconds": 1} if options.quick else {}
    redrive = Redrive(lifted=False, policy=policy)
    with ground.provider(run_seconds=seconds, journal=True) as provider:
        try:
            redrive.start(ground, provider, "geelark")
            feed = Feed(redrive, under_way / seconds)
            feed.run(1.5 * seconds)
            provider.calls()
            before = feed.under_way()
            feed.run(seconds)
            return checked(provider, (before + feed.under_way()) / 2)
        finally:
            redrive.close()


class Feed:
    """Makes tasks due, so many a second."""

    def __init__(self, redrive: Redrive, rate: float) -> None:
        self._redrive = redrive
        self._rate = rate
        self._began = time.monotonic()
        self._fed = 0

    def run(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline:
            if (due := int((now - self._began) * self._rate) - self._fed) > 0:
                self._redrive.add(self._fed + 1, due)
                self._fed += due
            pause(self._redrive, deadline + 60, 0.05)

    def under_way(self) -> int:
        row = self._redrive.connection.execute(
            "SELECT count(*) FROM redrive_tasks WHERE status IN ('retrying', 'unknown')"
        ).fetchone()
        return int(row[0]) if row else 0


def checked(provider: Provider, under_way: float) -> Checked:
    calls = provider.calls()
    retries, results = (
        [len(call.ids) for call in calls if call.path == path]
        for path in (GEELARK.kinds[0].retry_path, GEELARK.kinds[0].check_path)
    )
    return Checked(under_way, sum(retries) / len(retries), sum(results) / len(results), sum(results) / sum(retries))


__all__ = ["checks"]
