"""What takes part in a race: something that retries due tasks, in processes of its own."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg

from benchmarks import plain
from benchmarks.ground import Ground, Provider

if TYPE_CHECKING:
    from tests.support.processes import Process


class System(ABC):
    """A contestant. It is started, given tasks, watched, and closed; then it can be started again.

    Attributes:
        name: in tables.
        settings: what was set to what, for the reader.
        share: of the tasks of a race it gets, for those that would take minutes.
    """

    name: str
    settings: str = ""
    share: float = 1.0

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.processes: list[Process] = []

    def close(self) -> None:
        for process in reversed(self.processes):
            process.stop(timeout_seconds=20)
        self.processes.clear()
        self.stack.close()

    @property
    def roots(self) -> list[int]:
        """Its own processes."""
        return [process.pid for process in self.processes]

    @abstractmethod
    def start(self, ground: Ground, provider: Provider, kind: str) -> None:
        """Start its processes and wait until they would take work."""

    @abstractmethod
    def add(self, first: int, tasks: int) -> None:
        """Make these tasks due, and wake whoever looks for due ones."""

    @abstractmethod
    def finished(self) -> bool:
        """Whether every task's outcome is committed."""


class PlainSystem(System):
    """A contestant on the plain table: the hand-written one, and the peers.

    Attributes:
        schema: the statements that make its tables.
    """

    schema: str = plain.SCHEMA

    def start(self, ground: Ground, provider: Provider, kind: str) -> None:
        conninfo = ground.conninfo(self.stack.enter_context(ground.database(migrated=False)))
        self.connection = self.stack.enter_context(psycopg.connect(conninfo, autocommit=True))
        self.connection.execute(self.schema)
        self.env = {
            plain.DATABASE: conninfo,
            plain.BROKER: ground.broker(),
            plain.PROVIDER: provider.url,
            plain.KIND: kind,
        }
        self.start_workers(ground)

    @abstractmethod
    def start_workers(self, ground: Ground) -> None: ...

    @abstractmethod
    def scan(self) -> None:
        """Ask for the scan that enqueues what is due, as the timer would within a second."""

    def add(self, first: int, tasks: int) -> None:
        self.connection.execute(plain.ADD, [first, first + tasks - 1])
        self.scan()

    def finished(self) -> bool:
        row = self.connection.execute(plain.LEFT).fetchone()
        return row is not None and not row[0]
