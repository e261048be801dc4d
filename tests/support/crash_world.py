"""An installation made to be mistreated: short leases and waits, processes that die, and what must hold afterwards."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import redis
from sqlalchemy import func, select

from redrive.models.rules import rules_of
from redrive.models.settings import load
from redrive.models.sql import tables
from redrive.models.states import ENDED_STATES
from redrive.models.task import Task
from redrive.sandbox.script import Script, make_id
from tests.support.processes import Process, wait_until

from .long import LONG
from .process_world import ProcessWorld

REST_SECONDS = 240.0 if LONG else 60.0
TIMEOUT = 900 if LONG else 300

DYING = Path(__file__).with_name("dying.py")
PROVIDERS = {"phones": "geelark", "desktops": "huawei_workspace", "reviews": "docflow"}

POLICY = """
[policy]
max_retries = 5
base_seconds = 0.1
max_seconds = 0.5
check_after_seconds = 0.3
check_max_seconds = 0.5
settle_seconds = 0.5
[scheduler]
poll_seconds = 0.2
[breaker]
open_seconds = 1
max_open_seconds = 2
"""
LIMITS = {"calls_per_minute": 600, "calls_per_hour": 36000, "timeout_seconds": 1, "lease_seconds": 3.1}
OPEN = ("queued", "sending")
SCRIPTS = (Script(succeeds_on=1), Script(succeeds_on=2), Script("canceled", succeeds_on=1), Script(succeeds_on=1))


class CrashWorld(ProcessWorld):
    """A world whose sandbox counts every violation, and whose processes may be struck at named points."""

    def __init__(self, spawn: Callable[..., Process], database_url: str, broker_url: str, directory: Path) -> None:
        self._processes: list[Process] = []

        def remembered(*args: Any, **kwargs: Any) -> Process:
            self._processes.append(process := spawn(*args, **kwargs))
            return process

        super().__init__(remembered, database_url, broker_url, directory)

    def close(self) -> None:
        """Kill everything: how processes end by themselves is tested elsewhere, and takes its time."""
        for process in self._processes:
            process.kill()
        super().close()

    def start_sandbox(self, *arguments: str, limits: str = "", **values: float) -> None:
        """Start the sandbox. ``values`` are limits of all accounts."""
        super().start_sandbox("--huawei-same-ids", "--geelark-per-minute", "1200", *arguments)
        path = self.directory / "redrive.toml"
        sections = [part for part in path.read_text().split("\n[") if part.startswith("accounts.")]
        told = "\n".join(f"{name} = {value}" for name, value in (LIMITS | values).items())
        named = [f"[{part}" for part in sections if ".limits]" not in part]
        named += [f"[accounts.{name}.limits]\n{told}\n{limits}" for name in PROVIDERS]
        path.write_text("\n".join([POLICY, *named]))
        self.settings = load(environ=self.env)
        self.rules = rules_of(self.settings)

    def start_struck(self, part: str, *points: str) -> Process:
        """Start a scheduler or a worker that is struck at these points, one after the other."""
        return self._spawn([sys.executable, "-P", DYING, part, *points], {**os.environ, **self.env})

    def rows(self, number: int, *, first: int = 0, accounts: Iterable[str] = PROVIDERS) -> list[Mapping[str, Any]]:
        """So many tasks of each account, most of which succeed at their first retry."""
        return [
            {"account": account, "external_id": make_id(PROVIDERS[account], n, script), "status": script.first_state}
            for account in accounts
            for n in range(first, first + number)
            for script in (SCRIPTS[n % len(SCRIPTS)],)
        ]

    def attempts(self) -> list[dict[str, Any]]:
        """All attempts."""
        with self.database.reading() as t:
            return t.mappings(select(tables.attempts).order_by(tables.attempts.c.task_id, tables.attempts.c.number))

    def batches(self) -> dict[str, dict[str, Any]]:
        """All batches by id."""
        with self.database.reading() as t:
            return {str(row["id"]): row for row in t.mappings(select(tables.batches))}

    def unfinished(self) -> list[str]:
        """What has not come to its end: tasks, attempts, batches."""
        with self.database.reading() as t:
            queued = t.rows(select(tables.batches.c.id).where(tables.batches.c.status.in_(OPEN)))
            open_ones = t.rows(select(tables.attempts.c.task_id).where(tables.attempts.c.closed_at.is_(None)))
        return [
            *(f"task {x.id} of {x.account} is {x.status}" for x in self.tasks() if x.status not in ENDED_STATES),
            *(f"batch {row.id} is open" for row in queued),
            *(f"task {row.task_id} has an open attempt" for row in open_ones),
        ]

    def at_rest(self) -> bool:
        """Whether nothing is unfinished, asked in a way that leaves the machine to those who work."""
        open_ones = [
            select(tables.tasks.c.id).where(tables.tasks.c.status.not_in(ENDED_STATES)),
            select(tables.batches.c.size).where(tables.batches.c.status.in_(OPEN)),
            select(tables.attempts.c.task_id).where(tables.attempts.c.closed_at.is_(None)),
        ]
        with self.database.reading() as t:
            return not any(t.rows(statement.limit(1)) for statement in open_ones)

    def wait_for_rest(self, timeout_seconds: float = REST_SECONDS) -> None:
        """Until nothing is left to do."""
        try:
            wait_until(self.at_rest, timeout_seconds)
        except AssertionError:
            raise AssertionError(f"not finished in {timeout_seconds:g} s: {self.unfinished()}") from None

    def retry_calls(self) -> int:
        """How many calls the sandbox got that ask for a retry."""
        calls: dict[str, int] = self.sandbox("stats")["calls"]
        return sum(number for path, number in calls.items() if path.endswith(("/retry", "/restart")))

    def asked_of(self, tasks: Iterable[Task]) -> dict[int, dict[str, int]]:
        """What the provider says it was asked about each task: ``accepted``, ``asked``, ``unanswered``."""
        with httpx.Client(base_url=self.sandbox_url) as client:
            found = {task.id: client.get(f"/_sandbox/tasks/{task.external_id}") for task in tasks}
        nothing = {"accepted": 0, "asked": 0, "unanswered": 0}
        return {id_: answer.json()[0] if answer.status_code == 200 else nothing for id_, answer in found.items()}

    def assert_sound(self, *alive: Process, timeout_seconds: float = REST_SECONDS) -> None:
        """Whatever was done to it, it comes to rest, nothing is lost, and nothing was done twice.

        The provider's own record is what counts: no retry of a task while another is under way or unanswered, none
        over the limit, none of a task that has succeeded, and none that no committed attempt stands for.
        """
        self.wait_for_rest(timeout_seconds)
        assert self.differences() == []
        stats = self.sandbox("stats")
        assert stats["violations"] == {}
        assert [name for name, told in stats["retries"].items() if told["retried_succeeded"]] == [], stats["retries"]
        self._assert_attempts_tell_all()
        with self.database.reading() as t:
            assert t.rows(select(tables.accounts.c.name).where(tables.accounts.c.paused_at.is_not(None))) == []
        for process in alive:
            assert process.returncode is None, f"{process} ended with {process.returncode}"
            lines = process.output().splitlines()
            strange = [line for line in lines if not line.startswith(("{", "warning: ", "struck "))]
            assert strange == []

    def _assert_attempts_tell_all(self) -> None:
        tasks = self.tasks()
        outcomes: dict[int, list[str]] = {task.id: [] for task in tasks}
        for row in self.attempts():
            outcomes[row["task_id"]].append(row["outcome"])
        asked = self.asked_of(tasks)
        for task in tasks:
            mine, theirs = outcomes[task.id], asked[task.id]
            accepted, unknown = mine.count("accepted"), mine.count("unknown")
            told = f"{task.account} {task.external_id}: attempts {mine}, the provider says {theirs}"
            assert len(mine) == task.attempts, told
            assert task.spent == accepted + unknown <= task.limit(self.rules[task.account]), told
            assert accepted <= theirs["accepted"] <= theirs["asked"] <= task.spent, told
            assert theirs["unanswered"] == 0, told

    def queued_messages(self) -> int:
        """Jobs that wait at the broker."""
        with redis.Redis.from_url(self.urls["REDRIVE_BROKER_URL"]) as client:
            return sum(client.llen(queue) for queue in self.settings.queues.taken(PROVIDERS.values()))

    def count_batches(self, status: str) -> int:
        """Batches in this status."""
        with self.database.reading() as t:
            return int(t.execute(select(func.count()).where(tables.batches.c.status == status)).scalar_one())

    def count_attempts(self) -> int:
        """All attempts."""
        with self.database.reading() as t:
            return int(t.execute(select(func.count()).select_from(tables.attempts)).scalar_one())

    def wait_for_attempts(self, more: int = 1) -> None:
        """Until some more attempts were opened: work is under way."""
        wanted = self.count_attempts() + more
        wait_until(lambda: self.count_attempts() >= wanted, 30, what="work under way")
