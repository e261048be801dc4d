"""Many seeds, side by side in a few processes: each seed alone with a database of its own."""

import multiprocessing
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from redrive.models.sql.migrate import upgrade
from tests.simulation import strange
from tests.simulation.faults import OF
from tests.simulation.run import Report, simulate
from tests.support.memory import memory

KINDS = (*strange.KINDS, *(fault.name for faults in OF.values() for fault in faults))
"""What may befall a simulation."""

PROCESSES = min(2, os.cpu_count() or 1)


def simulated(seeds: Iterable[int]) -> Iterator[Report]:
    """Their reports over SQLite, in order."""
    with tempfile.TemporaryDirectory(prefix="redrive-simulation-", dir=memory()) as directory:
        template = Path(directory) / "template.db"
        upgrade(f"sqlite:///{template}")
        yield from simulated_over((seed, f"sqlite:///{_copy(template, seed)}") for seed in seeds)


def _copy(template: Path, seed: int) -> Path:
    path = template.with_name(f"seed-{seed}.db")
    shutil.copy(template, path)
    return path


def simulated_over(runs: Iterable[tuple[int, str]]) -> Iterator[Report]:
    """Their reports, each over the empty, migrated database with this URL."""
    # Not forked: a simulation switches threads, and a fork copies locks that nobody will release.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(PROCESSES, mp_context=context)
    try:
        yield from pool.map(_one, runs)
    finally:
        pool.shutdown(cancel_futures=True)


def _one(run: tuple[int, str]) -> Report:
    return simulate(*run)


@dataclass
class Sum:
    """Many reports in a few lines."""

    seeds: int = 0
    hours: float = 0.0
    calls: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[Report] = field(default_factory=list)

    def add(self, report: Report) -> None:
        self.seeds += 1
        self.hours += report.hours
        self.calls += report.calls
        self.faults.update(report.faults)
        if report.violations:
            self.failed.append(report)

    def __str__(self) -> str:
        faults = ", ".join(f"{kind} {count}" for kind, count in self.faults.most_common())
        never = sorted({*KINDS} - {*self.faults})
        lines = [f"{self.seeds} seeds, {self.hours:.1f} hours, {self.calls} calls; faults: {faults}"]
        lines += [f"never occurred: {', '.join(never)}"] if never else []
        for report in self.failed:
            lines += [str(report), f"  replay it: python -m tests.simulation --seed {report.seed}"]
        return "\n".join(lines)
