"""How long a user waits for the first word."""

import subprocess
import sys
import time
from collections.abc import Sequence
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

from benchmarks.ground import ROOT, Ground
from benchmarks.measure import cpu_seconds
from benchmarks.options import Options
from benchmarks.redrive_system import Redrive
from benchmarks.tables import Table, Target
from tests.support.processes import clean_environment

HELP_SECONDS, WORKER_SECONDS = 0.3, 2.0
ENVIRONMENT = clean_environment({"PYTHONPATH": str(ROOT)})


def cold_start(ground: Ground, options: Options) -> Table:
    """``redrive --help`` to its end, and parts from their start to their word that they are ready."""
    times = 3 if options.quick else 10
    help_ = [ended() for _ in range(times)]
    redrive = Redrive()
    with ground.provider() as provider:
        try:
            redrive.start(ground, provider, "geelark")
            parts = {name: [ready(ground, redrive, name) for _ in range(times)] for name in ("scheduler", "worker")}
        finally:
            redrive.close()
    found = {"redrive --help, to its end": help_} | {
        f"redrive {name}, to its readiness": t for name, t in parts.items()
    }
    rows = [row(name, measured) for name, measured in found.items()]
    return Table(
        "cold-start", "Cold start", ("", "median s", "min", "max", "CPU s"), rows,
        [
            Target("redrive --help", rows[0][1], HELP_SECONDS, at_most=True, unit=" s"),
            Target("worker ready", rows[2][1], WORKER_SECONDS, at_most=True, unit=" s"),
        ],
        [f"{times} starts each, files in the page cache."],
    )  # fmt: skip


def row(name: str, measured: Sequence[tuple[float, float]]) -> tuple[str, float, float, float, float]:
    seconds = [each for each, _ in measured]
    return name, median(seconds), min(seconds), max(seconds), median(cpu for _, cpu in measured)


def ended() -> tuple[float, float]:
    """Seconds and CPU seconds of a command."""
    before, began = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    # Waited for without a timeout: with one, Python looks only now and then.
    subprocess.run(
        [sys.executable, "-P", "-m", "redrive", "--help"], env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL
    )
    seconds, after = time.perf_counter() - began, getrusage(RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ready(ground: Ground, redrive: Redrive, part: str) -> tuple[float, float]:
    """The same of a part until it is ready."""
    began = time.perf_counter()
    process = ground.spawn("-m", "redrive", part, env=redrive.env, ready=rf"{part}\.started")
    seconds, cpu = time.perf_counter() - began, cpu_seconds([process.pid])
    process.stop()
    return seconds, cpu
