"""How soon an idle service makes the call for a task that comes."""

import time
from collections.abc import Iterator
from random import Random

from benchmarks.ground import Ground, Provider
from benchmarks.measure import median, p99
from benchmarks.options import Options
from benchmarks.race import PATIENCE_SECONDS, pause, say
from benchmarks.redrive_system import KINDS, Redrive
from benchmarks.tables import Table, Target
from redrive import Client

TASKS, QUICK_TASKS = 300, 10
BETWEEN_SECONDS = (0.2, 0.7)
MEDIAN_MS, P99_MS = 20.0, 100.0


def receipt(ground: Ground, options: Options) -> Table:
    """One task after the other through ``Client.add``, each when the one before it has been answered for a while."""
    runs = [run_of(ground, options, number) for number in range(1, options.runs + 1)]
    rows = [(f"Redrive, run {n}", len(ms), median(ms), p99(ms), max(ms)) for n, ms in enumerate(runs, start=1)]
    return Table(
        "receipt", "From Client.add to the provider's receipt, idle service",
        ("", "tasks", "median ms", "p99 ms", "longest ms"), rows,
        [
            Target("median", median(median(ms) for ms in runs), MEDIAN_MS, at_most=True, unit=" ms"),
            Target("p99", median(p99(ms) for ms in runs), P99_MS, at_most=True, unit=" ms"),
        ],
        ["GeeLark, one worker, limits lifted. From the moment before the call of Client.add."], bars=2,
    )  # fmt: skip


def run_of(ground: Ground, options: Options, number: int) -> list[float]:
    redrive = Redrive()
    with ground.provider(journal=True) as provider:
        try:
            redrive.start(ground, provider, "geelark")
            waits = list(milliseconds(redrive, provider, QUICK_TASKS if options.quick else TASKS))
        finally:
            redrive.close()
    say(f"  run {number}: {median(waits):.1f} ms")
    return waits


def milliseconds(redrive: Redrive, provider: Provider, tasks: int) -> Iterator[float]:
    """The first is for warming up."""
    rng = Random(1)
    with Client(redrive.env["REDRIVE_DATABASE_URL"], redrive.broker_url) as client:
        for n in range(tasks + 1):
            began = time.time()
            client.add(account="bench", kind=KINDS["geelark"], external_id=str(n + 1), status="failed")
            arrived = receipt_of(redrive, provider)
            if n:
                yield (arrived - began) * 1000
            time.sleep(rng.uniform(*BETWEEN_SECONDS))


def receipt_of(redrive: Redrive, provider: Provider) -> float:
    """When the next call came."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (calls := provider.calls()):
        pause(redrive, deadline, 0.02)
    return calls[0].at


__all__ = ["receipt"]
