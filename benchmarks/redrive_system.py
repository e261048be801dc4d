"""Redrive as a contestant: ``redrive scheduler`` and ``redrive worker`` as a user starts them, limits lifted."""

from collections.abc import Mapping
from typing import Any

import psycopg
import redis

from benchmarks.ground import Ground, Provider
from benchmarks.systems import System
from redrive.models.jobs import WAKE_CHANNEL
from tests.support.processes import Process

CREDENTIALS = {
    "geelark": 'provider = "geelark"\ntoken = {{ env = "BENCH_{0}" }}',
    "docflow": 'provider = "docflow"\napp_id = {{ env = "BENCH_{0}" }}\nsecret_code = {{ env = "BENCH_{0}" }}\n'
    'workspace_id = "1234567890"',
    "huawei_workspace": 'provider = "huawei_workspace"\nregion = "ap-southeast-1"\nproject_id = "bench"\n'
    'access_key = {{ env = "BENCH_{0}" }}\nsecret_key = {{ env = "BENCH_{0}" }}',
}
KINDS = {"geelark": "", "docflow": "review_task", "huawei_workspace": "task"}
START_SECONDS = 300.0
"""As long as a part with thousands of accounts may take until it is ready."""
RATES = {"calls_per_minute": 1_000_000_000, "calls_per_hour": 1_000_000_000}
LIFTED: Mapping[str, Mapping[str, Any]] = {
    "geelark": {**RATES, "batch_size": 100, "max_in_flight": 16, "concurrency": 16},
    "docflow": {**RATES, "batch_size": 1000, "max_in_flight": 4, "concurrency": 100},
}
POLICY: Mapping[str, Any] = {"track_results": False}
"""An accepted retry is done, as it is for the others; following results is measured by itself."""

LEFT = "SELECT EXISTS (SELECT 1 FROM redrive_tasks WHERE status <> 'succeeded')"
ADD = """
INSERT INTO redrive_tasks (account, kind, external_id, status)
SELECT %s, %s, n::text, 'failed' FROM generate_series(%s::bigint, %s::bigint) n
"""


def redrive_name(workers: int) -> str:
    return f"Redrive, {workers} worker{'s' * (workers > 1)}"


class Redrive(System):
    """One scheduler and some workers on PostgreSQL.

    Args:
        limits: of each account, beside those of ``lifted``.
        lifted: whether the limits that protect real providers are lifted; otherwise they are the defaults.
        policy: the section ``[policy]``.
        accounts: the provider of each; without it there is one account, ``bench``.
        more: other sections.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        limits: Mapping[str, Any] | None = None,
        lifted: bool = True,
        policy: Mapping[str, Any] = POLICY,
        accounts: Mapping[str, str] | None = None,
        more: str = "",
    ) -> None:
        super().__init__()
        self.name = redrive_name(workers)
        self._workers = workers
        self._limits = limits or {}
        self._lifted = lifted
        self._policy = policy
        self._accounts = accounts
        self._more = more

    def start(self, ground: Ground, provider: Provider, kind: str) -> None:
        self.kind = kind
        url = self.stack.enter_context(ground.database())
        self.prepare(ground, url)
        self.broker_url = ground.broker()
        self._start_processes(ground, provider, url)

    def prepare(self, ground: Ground, database_url: str) -> None:
        """Connect, and make the accounts' rows."""
        self.connection = self.stack.enter_context(psycopg.connect(ground.conninfo(database_url), autocommit=True))
        add = "INSERT INTO redrive_accounts (name, provider) VALUES (%s, %s)"
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.executemany(add, list(self.accounts.items()))

    @property
    def accounts(self) -> Mapping[str, str]:
        """The kind of each account."""
        return self._accounts or {"bench": self.kind}

    @property
    def secrets(self) -> dict[str, str]:
        """What the environment tells of each account; two accounts with one credential would be refused."""
        return {f"BENCH_{name}": f"secret-of-{name}" for name in self.accounts}

    def _start_processes(self, ground: Ground, provider: Provider, database_url: str) -> None:
        config = ground.folder() / "redrive.toml"
        config.write_text(self.toml(provider.url))
        self.env = {
            **self.secrets,
            "REDRIVE_DATABASE_URL": database_url,
            "REDRIVE_BROKER_URL": self.broker_url,
            "REDRIVE_CONFIG": str(config),
        }
        self.scheduler = self._part(ground, "scheduler")
        self.workers = [self._part(ground, "worker") for _ in range(self._workers)]

    def _part(self, ground: Ground, name: str) -> Process:
        ready = rf"{name}\.started"
        process = ground.spawn("-m", "redrive", name, env=self.env, ready=ready, timeout_seconds=START_SECONDS)
        self.processes.append(process)
        return process

    def toml(self, provider_url: str) -> str:
        """The configuration."""
        parts = ["[policy]", *_lines(self._policy), self._more]
        for name, kind in self.accounts.items():
            limits = {**(LIFTED[kind] if self._lifted else {}), **self._limits}
            parts += [f"[accounts.{name}]", CREDENTIALS[kind].format(name), f'base_url = "{provider_url}"']
            parts += [f"[accounts.{name}.limits]", *_lines(limits)]
            self.settings = ", ".join([*_lines(limits), *_lines(self._policy)]) or "the defaults"
        return "\n".join(parts) + "\n"

    def add(self, first: int, tasks: int, account: str = "bench") -> None:
        self.connection.execute(ADD, [account, KINDS[self.kind], first, first + tasks - 1])
        self.wake()

    def wake(self) -> None:
        """What ``Client.add`` does after its commit."""
        with redis.Redis.from_url(self.broker_url) as client:
            client.publish(WAKE_CHANNEL, "")

    def finished(self) -> bool:
        row = self.connection.execute(LEFT).fetchone()
        return row is not None and not row[0]


def _lines(values: Mapping[str, Any]) -> list[str]:
    words = {True: "true", False: "false"}
    return [f"{key} = {words[value] if isinstance(value, bool) else repr(value)}" for key, value in values.items()]
