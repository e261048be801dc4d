"""A race: every contestant does the same work on the same servers, turn by turn, several times."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.ground import Ground, Provider
from benchmarks.measure import cpu_seconds
from benchmarks.systems import System

WARM_UP = 100
PATIENCE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contestant.

    Attributes:
        rate: tasks retried and recorded per second, from the moment they were due.
        cpu: CPU seconds per 1,000 tasks, of its processes, the database and the broker; not of the provider.
        own: the part of it that its own processes used.
    """

    tasks: int
    rate: float
    cpu: float
    own: float


class TooSlowError(Exception):
    """A contestant did not finish."""


def medians(found: Mapping[str, Sequence[Run]]) -> dict[str, Run]:
    """Figure by figure the median of each contestant's runs."""
    return {
        name: Run(
            runs[0].tasks,
            median(run.rate for run in runs),
            median(run.cpu for run in runs),
            median(run.own for run in runs),
        )
        for name, runs in found.items()
    }


def note(found: dict[str, list[Run]], name: str, run: Run, number: int) -> None:
    """Keep one run of a contestant, and say what it was."""
    found.setdefault(name, []).append(run)
    say(f"  run {number}: {name}: {run.rate:,.0f} tasks/s, {run.cpu:.3f} CPU s per 1,000")


def one_run(ground: Ground, system: System, provider: Provider, kind: str, tasks: int) -> Run:
    """Start a contestant, warm it up, and time it."""
    try:
        system.start(ground, provider, kind)
        work(system, provider, 1, WARM_UP)
        ground.settle()
        return timed(ground, system, provider, WARM_UP + 1, tasks)
    finally:
        system.close()


def timed(ground: Ground, system: System, provider: Provider, first: int, tasks: int) -> Run:
    own, servers = cpu_seconds(system.roots), cpu_seconds(ground.servers)
    began = time.perf_counter()
    work(system, provider, first, tasks)
    seconds = time.perf_counter() - began
    own, servers = cpu_seconds(system.roots) - own, cpu_seconds(ground.servers) - servers
    per_1000 = 1000 / tasks
    return Run(tasks, tasks / seconds, (own + servers) * per_1000, own * per_1000)


def work(system: System, provider: Provider, first: int, tasks: int) -> None:
    """Make tasks due and wait until all are recorded.

    Watching must cost the database nothing, so that the provider is watched first, and the rows only at the end.
    """
    before = provider.stats()["retried"]
    system.add(first, tasks)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while provider.stats()["retried"] - before < tasks:
        pause(system, deadline, 0.02)
    while not system.finished():
        pause(system, deadline, 0.005)


def pause(system: System, deadline: float, seconds: float) -> None:
    dead = [process for process in system.processes if process.returncode is not None]
    if dead or time.monotonic() > deadline:
        logs = "\n".join(f"--- {process}\n{process.output()[-3000:]}" for process in system.processes)
        raise TooSlowError(f"{system.name}: {'a process ended' if dead else 'not finished'}\n{logs}")
    time.sleep(seconds)


def say(line: str) -> None:
    """Progress, for whoever waits."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
