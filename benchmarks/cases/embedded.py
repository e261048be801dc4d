"""``redrive up`` alone: SQLite and a broker of its own."""

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from benchmarks.ground import Ground, Provider
from benchmarks.options import Options
from benchmarks.race import Run, medians, note, one_run
from benchmarks.redrive_system import KINDS, LEFT, Redrive
from benchmarks.tables import Table, Target

if TYPE_CHECKING:
    from pathlib import Path

RATE = 1000.0

ADD = """
WITH RECURSIVE numbers (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
INSERT INTO redrive_tasks (account, kind, external_id, status) SELECT ?, ?, n, 'failed' FROM numbers
"""


class Embedded(Redrive):
    """Everything that ``redrive up`` starts, its broker too."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "Redrive, embedded, SQLite"

    def start(self, ground: Ground, provider: Provider, kind: str) -> None:
        self.kind = kind
        self._home: Path = ground.folder() / "home"
        config = ground.folder() / "redrive.toml"
        config.write_text(self.toml(provider.url))
        env = {**self.secrets, "REDRIVE_CONFIG": str(config), "REDRIVE_HOME": str(self._home)}
        up = ground.spawn("-m", "redrive", "up", "--no-flower", env=env)
        self.processes.append(up)
        up.wait_ready(lambda: "worker.started" in up.output() and "scheduler.started" in up.output())
        self.broker_url = (self._home / "broker.url").read_text()
        (self._file,) = self._home.glob("*.db")

    def add(self, first: int, tasks: int, account: str = "bench") -> None:
        with closing(sqlite3.connect(self._file, timeout=30)) as connection, connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(ADD, [first, first + tasks - 1, account, KINDS[self.kind]])
        self.wake()

    def finished(self) -> bool:
        with closing(sqlite3.connect(self._file, timeout=30)) as connection:
            return not connection.execute(LEFT).fetchone()[0]


def embedded(ground: Ground, options: Options) -> Table:
    """GeeLark, 100 ids a call."""
    found: dict[str, list[Run]] = {}
    system = Embedded()
    with ground.provider() as provider:
        for number in range(1, options.runs + 1):
            note(found, system.name, one_run(ground, system, provider, "geelark", options.tasks), number)
    run = medians(found)[system.name]
    return Table(
        "embedded", "redrive up with SQLite: GeeLark, 100 ids a call",
        ("", "tasks", "tasks/s", "CPU s per 1,000"), [(system.name, run.tasks, run.rate, run.own)],
        [Target("tasks/s", run.rate, RATE)], [system.settings], bars=2,
    )  # fmt: skip


__all__ = ["embedded"]
