"""The whole service as real processes: sandbox, schedulers, workers, over a real database and broker."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from redrive.models import ledger
from redrive.models.ledger import NewTask
from redrive.models.rules import Rules, rules_of
from redrive.models.settings import Settings, load
from redrive.models.sql.db import Database
from redrive.models.sql.tables import tasks
from redrive.models.states import ENDED_STATES, Status
from redrive.models.task import Task
from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.expectation import expectation
from redrive.sandbox.page import accounts_toml, environment
from redrive.sandbox.script import parse
from tests.support.processes import Process, wait_until

POLICY = """
[policy]
base_seconds = 0.1
max_seconds = 1
check_after_seconds = 0.5
check_max_seconds = 1
settle_seconds = 0.6
[scheduler]
poll_seconds = 0.2
"""


class ProcessWorld:
    """One installation with its sandbox; every process is started by the test that wants it."""

    def __init__(self, spawn: Callable[..., Process], database_url: str, broker_url: str, directory: Path) -> None:
        self._spawn = spawn
        self.directory = directory
        self.urls = {"REDRIVE_DATABASE_URL": database_url, "REDRIVE_BROKER_URL": broker_url}
        self.database = Database(database_url)
        self.sandbox_url = ""
        self.settings: Settings
        self.rules: dict[str, Rules]
        self.env: dict[str, str] = {}

    def start_sandbox(self, *arguments: str, limits: str = "") -> None:
        """Start the sandbox and write the configuration that points at it."""
        port_file = self.directory / "sandbox.port"
        command = [sys.executable, "-P", "-m", "redrive.sandbox", "--port-file", port_file, "--run-seconds", "0.4"]
        self._spawn([*command, *arguments], {}, ready=port_file.exists)
        self.sandbox_url = f"http://127.0.0.1:{port_file.read_text().strip()}"
        config = SandboxConfig()
        accounts = accounts_toml(config, self.sandbox_url, {})
        accounts = accounts.replace("[accounts.desktops]", f"{limits}\n[accounts.desktops]", 1)
        self.configure(POLICY + accounts, environment(config))

    def configure(self, text: str, secrets: Mapping[str, str]) -> None:
        """Write the configuration that every process gets, and read it as they will."""
        path = self.directory / "redrive.toml"
        path.write_text(text)
        self.env = {
            **self.urls,
            **secrets,
            "REDRIVE_CONFIG": str(path),
            "REDRIVE_HOME": str(self.directory),
        }
        self.settings = load(environ=self.env)
        self.rules = rules_of(self.settings)

    def start(self, part: str) -> Process:
        """Start a scheduler or a worker."""
        ready = {"scheduler": "scheduler.started", "worker": "worker.started"}[part]
        return self._spawn([sys.executable, "-P", "-m", "redrive", part], {**os.environ, **self.env}, ready=ready)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> list[int]:
        """Add sample rows; ids in their order."""
        new = [self._new(row) for row in rows]
        with self.database.transaction() as t:
            ledger.ensure(t, {name: rules.provider for name, rules in self.rules.items()})
            return [each.id for each in ledger.add(t, new, self.rules)]

    def _new(self, row: Mapping[str, Any]) -> NewTask:
        kind = row.get("kind") or self.rules[row["account"]].capabilities.default_kind(row.get("sub_id", "")).name
        return NewTask(
            account=row["account"],
            kind=kind,
            external_id=row["external_id"],
            sub_id=row.get("sub_id", ""),
            origin=row.get("origin", ""),
            status=Status(row.get("status", "failed")),
            params=row.get("params") or {},
        )

    def tasks(self, ids: Sequence[int] | None = None) -> list[Task]:
        """Tasks as they are now."""
        statement = select(tasks).order_by(tasks.c.id)
        with self.database.reading() as t:
            found = [Task.of(row) for row in t.rows(statement)]
        return [task for task in found if ids is None or task.id in set(ids)]

    def wait_for_the_end(self, timeout_seconds: float = 60) -> list[Task]:
        """Until every task has ended."""
        wait_until(
            lambda: all(x.status in ENDED_STATES for x in self.tasks()), timeout_seconds, what="every task ended"
        )
        return self.tasks()

    def sandbox(self, path: str) -> Any:
        """What the sandbox says of itself."""
        return httpx.get(f"{self.sandbox_url}/_sandbox/{path}").raise_for_status().json()

    def fault(self, **fault: Any) -> None:
        """Switch a fault on."""
        httpx.post(f"{self.sandbox_url}/_sandbox/faults", json=fault).raise_for_status()

    def clear_faults(self) -> None:
        """Switch all faults off."""
        httpx.delete(f"{self.sandbox_url}/_sandbox/faults").raise_for_status()

    def differences(self) -> list[str]:
        """Tasks that did not end as their script says."""
        wrong = []
        for task in self.tasks():
            rules = self.rules[task.account]
            want = expectation(rules.provider, task.kind, parse(task.external_id), rules.policy.max_retries)
            if (task.status, task.dead_reason) != (want.status, want.dead_reason):
                wrong.append(f"{task.account} {task.external_id}: {task.status} {task.dead_reason}, script says {want}")
        return wrong

    def close(self) -> None:
        """Close the connections of the test itself."""
        self.database.close()
