"""A process writes down again and again that it runs, so that people see at once when none does."""

import os
import socket
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version

from . import ledger
from .sql.db import Database


def own_name() -> str:
    """This process's name: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(slots=True)
class Presence:
    """One process in the list of those that run."""

    database: Database
    role: str
    name: str = field(default_factory=own_name)
    _started_at: datetime | None = None

    def beat(self) -> None:
        """Write that it runs, and forget processes that nobody has seen for long."""
        with self.database.transaction() as t:
            self._started_at = self._started_at or t.now
            ledger.beat(t, self.role, self.name, version=version("redrive"), started_at=self._started_at)
            ledger.forget_processes(t)

    def end(self) -> None:
        """Leave the list: it ends as it should."""
        with self.database.transaction() as t:
            ledger.sign_off(t, self.role, self.name)
