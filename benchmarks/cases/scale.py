"""Scaling out: the same work by one worker process and by four."""

from benchmarks.ground import Ground
from benchmarks.measure import Cores, median
from benchmarks.options import Options
from benchmarks.race import one_run, say
from benchmarks.redrive_system import Redrive, redrive_name
from benchmarks.tables import Table, Target

LATENCY_SECONDS = 0.05
CONCURRENCY = 8
LIMITS = {"concurrency": CONCURRENCY, "batch_size": 100, "max_in_flight": 32}
BATCHES = "[worker]\nbatches = 4"
"""With as many batches under way as usual, the first worker would take all there are."""
TARGET = 3.5


def scale_out(ground: Ground, options: Options) -> Table:
    """One id a call, answered after 50 ms, so that workers mostly wait."""
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: [], 4: []}
    with ground.provider(LATENCY_SECONDS) as provider:
        for number in range(options.runs):
            for workers, runs in found.items():
                redrive = Redrive(workers, limits=LIMITS, more=BATCHES)
                tasks = max(100, options.tasks * workers // 16)
                busy = Cores()
                run = one_run(ground, redrive, provider, "docflow", tasks)
                runs.append((run.rate, busy.average()))
                say(f"  run {number + 1}: {workers} workers: {run.rate:,.0f} tasks/s")
    first = median(rate for rate, _ in found[1])
    rows = [
        (
            redrive_name(n),
            rate := median(r for r, _ in runs),
            rate / first,
            median(b for _, b in runs),
        )
        for n, runs in found.items()
    ]
    best = CONCURRENCY / LATENCY_SECONDS
    return Table(
        "scale-out", "Scale-out: DocFlow, one id a call, answered after 50 ms",
        ("", "tasks/s", "x one worker", "cores busy, by anybody"), rows,
        [Target("4 workers ÷ 1 worker", float(rows[2][1]) / first, TARGET, unit="x")],
        [(f"concurrency = {CONCURRENCY} per worker, so that each can make {best:.0f} calls/s at most; batches = 4, "
         "batch_size = 100, max_in_flight = 32. Cores busy: an average that includes the start of the processes.")],
    )  # fmt: skip
